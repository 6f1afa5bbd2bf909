"""Half precision: the choice for each GPU, exact resumption, and float32 weights and results."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras  # noqa: TID253
import numpy as np
import pytest

from model.settings import TrainSettings
from model.training import devices, network
from model.training import loop as fit
from model.training.checkpoint import Checkpoints
from model.training.loop import TrainingLoop
from model.training.progress import Progress

SIDE = 32


@pytest.fixture(autouse=True)
def policy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A network of its stem alone; the precision of other tests is theirs."""
    monkeypatch.setattr(network, "DAG_WIDTHS", ())
    yield
    keras.config.set_dtype_policy("float32")


def card(*capabilities: tuple[int, int] | None) -> list[dict[str, Any]]:
    return [{"device": f"/GPU:{n}", "name": "a card", "capability": one} for n, one in enumerate(capabilities)]


@pytest.mark.parametrize(
    ("cards", "wanted"),
    [
        (card((9, 0)), "bfloat16"),
        (card((8, 0)), "bfloat16"),
        (card((7, 0)), "float16"),
        (card((6, 1)), "float32"),
        (card((9, 0), (7, 5)), "float16"),
        (card(None), "float32"),
        ([], "float32"),
    ],
)
def test_auto_precision_is_supported_by_every_gpu(
    cards: list[dict[str, Any]], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "gpus", lambda: cards)

    assert devices.resolve_precision("auto") == wanted
    assert devices.resolve_precision("float32") == "float32"


def loop(directory: Path, precision: str, tell: Callable[[Progress, int], None] = lambda *_: None) -> TrainingLoop:
    """Two epochs of two steps, with a checkpoint after each step."""
    chosen = TrainSettings(height=SIDE, width=SIDE, batch=8, epochs=2, seed=4, metric="recall", precision=precision)
    dice, labels = np.random.default_rng(1), np.arange(16) % 2
    both = (dice.integers(0, 255, (16, SIDE, SIDE, 1), dtype=np.uint8), labels)
    keras.backend.clear_session(free_memory=False)  # else the layers are numbered on
    keras.utils.set_random_seed(3)
    checkpoints = Checkpoints(directory, "print")
    return TrainingLoop(network.build(chosen), chosen, both, both, checkpoints, 1, tell, lambda: False)


@pytest.mark.parametrize("precision", ["float16", pytest.param("bfloat16", marks=pytest.mark.repeat)])
def test_a_resumed_run_ends_with_the_same_bits(precision: str, tmp_path: Path) -> None:
    def tell(progress: Progress, _: int) -> None:
        if (progress.step, progress.epoch) == (4, 1):  # as if killed now: the newest checkpoint is within an epoch
            shutil.copytree(tmp_path / "whole", tmp_path / "other")

    loop(tmp_path / "whole", precision, tell).run()
    _, killed = Checkpoints(tmp_path / "other", "print").restore()
    assert (killed["progress"]["step"], killed["progress"]["batch"]) == (3, 1)
    loop(tmp_path / "other", precision).run()

    (expected, _), (actual, _) = (Checkpoints(tmp_path / name, "print").restore() for name in ("whole", "other"))
    assert expected.keys() == actual.keys()
    assert [name for name in expected if not np.array_equal(expected[name], actual[name])] == []
    scaled = [name for name in expected if "dynamic_scale" in name]
    assert bool(scaled) == (precision == "float16")  # else small gradients would be none


def test_weights_and_logits_stay_float32_and_fit_a_float32_network() -> None:
    chosen = TrainSettings(height=SIDE, width=SIDE, precision="bfloat16")
    fit.make_deterministic(3)
    half = network.build(chosen)
    full = network.build(TrainSettings(height=SIDE, width=SIDE))
    full.set_weights(half.get_weights())
    pixels = np.random.default_rng(0).uniform(0, 255, (4, SIDE, SIDE, 1)).astype(np.float32)

    assert {str(one.dtype) for one in half.weights if "seed" not in one.path} == {"float32"}
    assert half(pixels).dtype == full(pixels).dtype == "float32"
    assert half.get_layer("stem").compute_dtype == "bfloat16"
    np.testing.assert_allclose(half(pixels), full(pixels), atol=0.05)
