"""The training loop: killed at any step it ends with the same result; it stops early, and it learns."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from model.training import loop as fit
from model.training.checkpoint import Checkpoints
from model.training.errors import Collapsed, Stopped, TrainingError
from model.training.loop import TrainingLoop
from model.training.progress import Progress
from tests.model.training.tiny_run import SHORT, loop, settings

CHOSEN = settings(metric="shifted_auc")  # the default: shifted copies are scored after each epoch, too


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


def state(trained: TrainingLoop, directory: Path) -> dict[str, np.ndarray]:
    arrays, _ = Checkpoints(directory, "print").restore()
    final = {f"final/{n}": value for n, value in enumerate(trained.model.get_weights())}
    history = {f"history/{n}/{k}": v for n, epoch in enumerate(trained.progress.history) for k, v in epoch.items()}
    return {**arrays, **final, **{name: np.float64(value) for name, value in history.items()}}


@pytest.fixture(scope="module")
def run_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of an uninterrupted run and of one killed at step 5, in an epoch whose last batch is smaller."""
    return tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("killed") / "checkpoints"


@pytest.fixture(scope="module")
def whole(run_folders: tuple[Path, Path]) -> dict[str, np.ndarray]:
    """The state at the end of an uninterrupted run: 3 epochs of 3 steps, the last of them with half a batch."""
    directory, killed = run_folders

    def tell(progress: Progress, _: int) -> None:
        if progress.step == 5:  # a kill would leave the folder as it is now
            shutil.copytree(directory, killed)

    training = loop(directory, CHOSEN, tell, count=20)
    progress = training.run()
    assert (progress.step, progress.epoch, progress.finished) == (9, 3, True)
    return state(training, directory)


def end_of(directory: Path) -> dict[str, np.ndarray]:
    """The state at the end of the run that goes on from the newest checkpoint in `directory`."""
    training = loop(directory, CHOSEN, count=20)
    training.run()
    return state(training, directory)


def differing(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> list[str]:
    assert actual.keys() == expected.keys()
    return [name for name in expected if not np.array_equal(actual[name], expected[name])]


def test_a_killed_run_ends_with_the_same_bits(whole: dict[str, np.ndarray], run_folders: tuple[Path, Path]) -> None:
    _, killed = run_folders
    _, saved = Checkpoints(killed, "print").restore()
    assert (saved["progress"]["step"], saved["progress"]["batch"]) == (4, 1)
    assert differing(end_of(killed), whole) == []


@pytest.mark.repeat
def test_a_run_killed_at_every_step_ends_with_the_same_bits(tmp_path: Path, whole: dict[str, np.ndarray]) -> None:
    for kill in range(1, 10):

        def tell(progress: Progress, _: int, kill: int = kill) -> None:
            if progress.step == kill:
                raise Killed

        with pytest.raises(Killed):
            loop(tmp_path, CHOSEN, tell, count=20).run()
    assert differing(end_of(tmp_path), whole) == []


def test_the_random_numbers_of_dropout_are_in_the_checkpoint(whole: dict[str, np.ndarray]) -> None:
    assert [name for name in whole if name.startswith("run/") and "seed_generator" in name]


@pytest.mark.usefixtures("eager")
def test_another_seed_gives_another_result(tmp_path: Path) -> None:
    """After one step from the same weights."""
    kernels = []
    for seed in (4, 5):
        training = loop(tmp_path / str(seed), settings(seed=seed), stop=lambda: True)
        with pytest.raises(Stopped):
            training.run()
        kernels.append(training.model.get_weights()[0])
    assert not np.array_equal(*kernels)


@pytest.mark.usefixtures("eager")
def test_a_requested_stop_saves_a_checkpoint_of_the_current_step(tmp_path: Path) -> None:
    asked = iter([False] * 2 + [True])
    with pytest.raises(Stopped):
        loop(tmp_path, settings(augment=0.0), every=1000, stop=lambda: next(asked)).run()
    _, saved = Checkpoints(tmp_path, "print").restore()
    assert (saved["progress"]["step"], saved["progress"]["epoch"], saved["progress"]["batch"]) == (3, 1, 1)


@pytest.mark.parametrize("how", ["eager", pytest.param("compiled", marks=pytest.mark.repeat)])
def test_both_phases_resume_each_with_its_own_optimizer(
    how: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if how == "eager":
        request.getfixturevalue(how)
    chosen = settings(head_epochs=1, augment=0.0)

    def tell(progress: Progress, _: int) -> None:
        if (progress.epoch, progress.batch) == (1, 0):
            raise Killed

    with pytest.raises(Killed):
        loop(tmp_path, chosen, tell).run()
    training = loop(tmp_path, chosen)
    training.run()
    assert int(training.model.optimizer.iterations) == 4  # of the second phase alone


@pytest.mark.usefixtures("eager")
def test_a_collapsed_run_is_stopped_after_the_grace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "validation_metrics", lambda *_: {"recall": 0.0, "loss": 1.0, "positive_share": 1.0})
    training = loop(tmp_path, settings(epochs=9, grace=2, **SHORT))
    with pytest.raises(Collapsed, match=r"after epoch 3 .* 100\.0%"):
        training.run()


@pytest.mark.usefixtures("eager")
def test_a_nan_loss_stops_the_run(tmp_path: Path) -> None:
    training = loop(tmp_path, settings(optimizer="sgd", learning_rate=100.0, epochs=100, augment=0.0))
    training.train[0][:] = 255
    training.model.get_layer("logit").kernel.assign(np.full(training.model.get_layer("logit").kernel.shape, np.nan))
    with pytest.raises(TrainingError, match="not finite"):
        training.run()


def test_the_average_starts_at_the_weights_and_lags_behind_them(tmp_path: Path) -> None:
    training = loop(tmp_path, settings())
    training._restore()
    training.progress.step = 1
    training._update_average()
    first = training.average[0].copy()
    assert np.array_equal(first, training.model.get_weights()[0])
    moved = [value + 1 for value in training.model.get_weights()]
    training.model.set_weights(moved)
    training.progress.step = 100_000
    training._update_average()
    assert training.average[0] == pytest.approx(first + 0.005, abs=1e-5)


def test_the_loop_learns_what_can_be_learned(tmp_path: Path) -> None:
    progress = loop(tmp_path, settings(epochs=8, learning_rate=0.02, augment=0.0, metric="auc")).run()
    assert max(entry["val_auc"] for entry in progress.history) > 0.9
    assert progress.history[-1]["loss"] < progress.history[0]["loss"]
