"""Features of frozen layers on disk: the same training, in which the frozen layers see each picture once a view."""

from pathlib import Path
from typing import Any

import keras  # noqa: TID253
import numpy as np
import pytest

from model.settings import TrainSettings
from model.training import feature_cache, features, loop
from model.training.checkpoint import Checkpoints
from model.training.errors import Stopped
from model.training.feature_cache import FeatureCache
from model.training.features import Features
from model.training.frozen import Split
from model.training.loop import TrainingLoop

SIDE = 32
VALIDATION = 12


def films(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.random.default_rng(seed).integers(0, 120, (count, SIDE, SIDE, 1), dtype=np.uint8)
    labels = np.arange(count) % 2
    pixels[labels == 1, SIDE // 2 :] += 90
    return pixels, labels


TRAIN, MEASURE, SHIFTED = films(20, 1), films(VALIDATION, 2), films(3 * VALIDATION, 3)
MEASURED = 4 * VALIDATION  # validation pictures and shifted copies of them, which the default metric needs
CHOSEN = TrainSettings(height=SIDE, width=SIDE, batch=8, epochs=4, seed=4, views=2, optimizer="sgd", patience=9)


class Counting:
    """The front of a split network, which counts the pictures that it sees."""

    def __init__(self, front: keras.Model) -> None:
        self.front, self.count = front, 0

    def predict_on_batch(self, pixels: np.ndarray) -> list[np.ndarray]:
        self.count += len(pixels)
        return self.front.predict_on_batch(pixels)


def networks() -> tuple[keras.Model, Split]:
    """A network with a frozen layer of two outputs, and its two parts."""
    keras.backend.clear_session(free_memory=False)
    loop.make_deterministic(3)
    pixels = keras.Input((SIDE, SIDE, 1), name="pixels")
    frozen = keras.layers.Conv2D(4, 3, strides=4, trainable=False)
    norm = keras.layers.BatchNormalization(momentum=0.5)
    rest = [keras.layers.Flatten(), keras.layers.Dropout(0.5), keras.layers.Dense(1, name="logit")]

    def tail(first: Any, second: Any) -> Any:
        x = keras.layers.Add()([norm(first), second])
        for layer in rest:
            x = layer(x)
        return x

    first = frozen(keras.layers.Rescaling(1 / 255)(pixels))
    second = keras.layers.ReLU()(first)
    model = keras.Model(pixels, tail(first, second))
    inputs = [keras.Input(part.shape[1:]) for part in (first, second)]
    return model, Split(keras.Model(pixels, [first, second]), keras.Model(inputs, tail(*inputs)))


def trained(folder: Path, kept: bool, stop: int = 0, chosen: TrainSettings = CHOSEN) -> tuple[Any, int]:
    """The losses, metrics and weights of a run of at most `stop` steps, and how many pictures the front has seen."""
    model, split = networks()
    counting = Counting(split.front)
    cache = None
    if kept:
        shapes = [output.shape[1:] for output in split.front.outputs]
        rows = FeatureCache(folder / "features", {"a": 1}, shapes)
        cache = Features(Split(counting, split.tail), rows, chosen, TRAIN)
    steps: list[int] = []
    training = TrainingLoop(
        model,
        chosen,
        TRAIN,
        MEASURE,
        Checkpoints(folder / "checkpoints", "print"),
        100,
        lambda progress, _: steps.append(progress.step),
        lambda: bool(stop) and bool(steps) and steps[-1] >= stop,
        cache,
        SHIFTED,
    )
    try:
        progress = training.run()
    except Stopped:
        return None, counting.count
    return (progress.history, [weight.tolist() for weight in model.get_weights()]), counting.count


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The run of the whole network, whose layers are computed in each epoch."""
    return trained(tmp_path_factory.mktemp("whole"), kept=False)[0]


def close(actual: Any, expected: Any) -> bool:
    """Equal losses and weights, but for the order in which one step adds up its sums."""
    same = [
        np.allclose([one[name] for name in other], list(other.values()), rtol=1e-5)
        for one, other in zip(actual[0], expected[0], strict=True)
    ]
    weights = [np.allclose(one, other, atol=1e-6) for one, other in zip(actual[1], expected[1], strict=True)]
    return all(same) and all(weights)


def test_the_losses_are_those_of_the_whole_network(tmp_path: Path, expected: Any) -> None:
    actual, count = trained(tmp_path, kept=True)
    assert close(actual, expected)
    assert count == CHOSEN.views * len(TRAIN[1]) + MEASURED
    assert all("val_shifted_auc" in entry for entry in actual[0])


def test_a_resumed_run_uses_what_is_kept_and_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole, count = trained(tmp_path / "whole", kept=True)
    _, before = trained(tmp_path / "stopped", kept=True, stop=5)
    resumed, after = trained(tmp_path / "stopped", kept=True)
    assert resumed == whole and before + after == count


def test_a_stopped_run_goes_on_where_nothing_can_be_kept(tmp_path: Path, expected: Any) -> None:
    trained(tmp_path, kept=True, stop=5)
    resumed, _ = trained(tmp_path, kept=False)
    assert close(resumed, expected)


def test_damaged_rows_are_computed_again(tmp_path: Path) -> None:
    whole, _ = trained(tmp_path / "whole", kept=True)
    trained(tmp_path / "stopped", kept=True, stop=8)
    for name in ("view-0.rows", "validation.rows", "shifted.rows"):
        path = tmp_path / "stopped" / "features" / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content[:-3])
    assert trained(tmp_path / "stopped", kept=True)[0] == whole


def test_a_full_disk_does_not_end_the_training(tmp_path: Path, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_cache.os, "pwrite", full)
    actual, count = trained(tmp_path, kept=True)
    assert close(actual, expected)
    assert count == CHOSEN.epochs * (len(TRAIN[1]) + MEASURED)


def test_rows_of_other_contents_are_removed(tmp_path: Path) -> None:
    numbers, rows = np.array([3, 1]), [np.ones((2, 2), np.float32), np.zeros((2, 3), np.float32)]
    cache = FeatureCache(tmp_path / "rows", {"weights": "a"}, [(2,), (3,)])
    assert cache.read("view-0", numbers) is None
    cache.write("view-0", numbers, rows)
    again = FeatureCache(tmp_path / "rows", {"weights": "a"}, [(2,), (3,)])
    read = again.read("view-0", numbers)
    assert read is not None and all(np.array_equal(*pair) for pair in zip(read, rows, strict=True))
    assert again.read("view-0", np.array([2])) is None  # between two rows that were written
    assert FeatureCache(tmp_path / "rows", {"weights": "b"}, [(2,), (3,)]).read("view-0", numbers) is None
    again.remove()
    assert not (tmp_path / "rows").exists()


def test_a_cache_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert feature_cache.fits(tmp_path, 1000)
    assert not feature_cache.fits(tmp_path, feature_cache.MAX_BYTES + 1)
    monkeypatch.setattr(feature_cache, "FREE_SHARE", 0.0)
    assert not feature_cache.fits(tmp_path, 1000)


def test_nothing_is_kept_of_a_network_without_frozen_layers(tmp_path: Path) -> None:
    model, _ = networks()
    assert features.of_run(model, CHOSEN, TRAIN, MEASURE, SHIFTED, tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_shifted_copies_count_in_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its size, and in its key: those of another seed are other pictures."""
    model, split = networks()
    sizes, keys = [], []
    monkeypatch.setattr(features.frozen, "split", lambda *_: split)
    monkeypatch.setattr(feature_cache, "fits", lambda _, size: bool(sizes.append(size) or True))
    for copies in (None, SHIFTED, films(3 * VALIDATION, 4)):
        assert features.of_run(model, CHOSEN, TRAIN, MEASURE, copies, tmp_path) is not None
        keys.append((tmp_path / "features" / "key.json").read_text())
    row = sizes[0] // (CHOSEN.views * len(TRAIN[1]) + VALIDATION)
    assert [size - sizes[0] for size in sizes] == [0, 3 * VALIDATION * row, 3 * VALIDATION * row]
    assert len(set(keys)) == 3
