"""The training loop: killed at any step it ends with the same result; it stops early and saves the best weights."""

import shutil
from pathlib import Path

import keras  # noqa: TID253
import numpy as np
import pytest

from model.settings import TrainSettings
from model.training import loop as fit
from model.training.checkpoint import Checkpoints
from model.training.loop import Collapsed, Progress, Stopped, TrainingError, TrainingLoop

SIDE = 32


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


def films(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise, of which every second is brighter below: uint8 [count, 32, 32, 1] and labels."""
    pixels = np.random.default_rng(seed).integers(0, 120, (count, SIDE, SIDE, 1), dtype=np.uint8)
    labels = np.arange(count) % 2
    pixels[labels == 1, SIDE // 2 :] += 90
    return pixels, labels


def tiny() -> keras.Model:
    """A network with everything that has a state: weights, batch statistics, dropout's random numbers."""
    keras.backend.clear_session(free_memory=False)  # else the layers are numbered on from test to test
    keras.utils.set_random_seed(3)
    pixels = keras.Input((SIDE, SIDE, 1), name="pixels")
    x = keras.layers.Conv2D(4, 3, strides=4)(keras.layers.Rescaling(1 / 255)(pixels))
    x = keras.layers.BatchNormalization(momentum=0.5)(x)
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
    return keras.Model(pixels, keras.layers.Dense(1, name="logit")(x))


def settings(**changes: object) -> TrainSettings:
    small = {"height": SIDE, "width": SIDE, "batch": 8, "epochs": 3, "seed": 4, "metric": "recall"}
    return TrainSettings(**{**small, **changes})


def loop(
    directory: Path, chosen: TrainSettings, tell=lambda *_: None, every: int = 2, stop=lambda: False, count: int = 16
) -> TrainingLoop:
    """Two steps per epoch. With a `count` that leaves a smaller last batch, TensorFlow compiles the step twice."""
    train, validation = films(count, 1), films(12, 2)
    return TrainingLoop(tiny(), chosen, train, validation, Checkpoints(directory, "print"), every, tell, stop)


def state(trained: TrainingLoop, directory: Path) -> dict[str, np.ndarray]:
    arrays, _ = Checkpoints(directory, "print").restore()
    return {**arrays, **{f"final/{n}": value for n, value in enumerate(trained.model.get_weights())}}


# One step per epoch without augmentation, with a simple optimizer: for runs that prove what the loop decides.
SHORT = {"batch": 16, "augment": 0.0, "optimizer": "sgd"}


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """No step is compiled, which takes longer than the few steps of a run that proves what the loop decides."""
    compile_for = fit.network.compile_for

    def compile_eagerly(model: keras.Model, *words: object) -> None:
        compile_for(model, *words)
        model.run_eagerly = True

    monkeypatch.setattr(fit.network, "compile_for", compile_eagerly)


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

    training = loop(directory, settings(), tell, count=20)
    progress = training.run()
    assert (progress.step, progress.epoch, progress.finished) == (9, 3, True)
    return state(training, directory)


def end_of(directory: Path) -> dict[str, np.ndarray]:
    """The state at the end of the run that goes on from the newest checkpoint in `directory`."""
    training = loop(directory, settings(), count=20)
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
            loop(tmp_path, settings(), tell, count=20).run()
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
def test_the_best_weights_are_kept_not_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.6, 0.9, 0.7, 0.8])
    monkeypatch.setattr(fit, "validation_metrics", lambda *_: {"auc": next(scores), "loss": 1.0, "positive_share": 0.5})
    averages = []
    training = loop(tmp_path, settings(metric="auc", epochs=4, **SHORT))
    judged = training._validate
    monkeypatch.setattr(training, "_validate", lambda: (averages.append(training.average), judged())[1])
    progress = training.run()
    assert progress.best_epoch == 1
    assert all(np.array_equal(a, b) for a, b in zip(training.model.get_weights(), averages[1], strict=True))
    assert [entry["val_auc"] for entry in progress.history] == [0.6, 0.9, 0.7, 0.8]


@pytest.mark.usefixtures("eager")
def test_the_best_epoch_is_chosen_on_the_shifted_copies_if_these_are_the_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, copies = iter([0.9, 0.8, 0.7]), iter([0.6, 0.8, 0.7])

    def metrics(labels: np.ndarray, *_: object) -> dict[str, float]:
        return {"auc": next(plain if len(labels) == 12 else copies), "loss": 1.0, "positive_share": 0.5}

    monkeypatch.setattr(fit, "validation_metrics", metrics)
    training = loop(tmp_path, settings(metric="shifted_auc", **SHORT))
    training.shifted = films(36, 3)
    progress = training.run()
    assert progress.best_epoch == 1
    assert [entry["val_shifted_auc"] for entry in progress.history] == [0.6, 0.8, 0.7]
    assert [entry["val_auc"] for entry in progress.history] == [0.9, 0.8, 0.7]


@pytest.mark.usefixtures("eager")
def test_a_run_without_improvement_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "validation_metrics", lambda *_: {"auc": 0.7, "loss": 1.0, "positive_share": 0.5})
    progress = loop(tmp_path, settings(metric="auc", epochs=50, patience=2, **SHORT)).run()
    assert progress.epoch == 3


@pytest.mark.usefixtures("eager")
def test_equal_scores_are_compared_by_their_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([0.5, 0.3, 0.4])
    monkeypatch.setattr(
        fit, "validation_metrics", lambda *_: {"recall": 1.0, "loss": next(losses), "positive_share": 0.5}
    )
    assert loop(tmp_path, settings(**SHORT)).run().best_epoch == 1


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
