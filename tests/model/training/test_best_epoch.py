"""The epoch that a run keeps, by what was measured after each with the averaged weights; and when it ends early."""

from pathlib import Path

import numpy as np
import pytest

from model.training import loop as fit
from model.training.validation import validation_metrics
from tests.model.training.tiny_run import COPIES, SHORT, films, loop, settings


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
    progress = training.run()
    assert progress.best_epoch == 1
    assert [entry["val_shifted_auc"] for entry in progress.history] == [0.6, 0.8, 0.7]
    assert [entry["val_auc"] for entry in progress.history] == [0.9, 0.8, 0.7]


@pytest.mark.usefixtures("eager")
def test_copies_and_films_are_measured_with_the_averaged_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a real run; its own weights, which lead those of the average, rank the copies otherwise."""
    training = loop(tmp_path, settings(metric="shifted_auc", learning_rate=0.1, **SHORT))
    pixels, labels = films(COPIES, 3)
    labels = np.random.default_rng(1).permutation(labels)  # nothing that a network could rank perfectly
    training.shifted = pixels, labels
    weights: dict[str, list[list[np.ndarray]]] = {"own": [], "averaged": []}
    judged = training._validate

    def validate() -> dict[str, float]:
        weights["own"].append(training._weights())
        weights["averaged"].append(training.average)
        return judged()

    monkeypatch.setattr(training, "_validate", validate)
    history = training.run().history
    measured: dict[str, list[float]] = {"own": [], "averaged": []}
    for kind, epochs in weights.items():
        for epoch in epochs:
            training._set_weights(epoch)
            logits = np.asarray(training.model.predict(pixels, verbose=0)[:, 0], np.float64) + training.prior
            measured[kind].append(validation_metrics(labels, logits, training.settings)["auc"])
    assert [entry["val_shifted_auc"] for entry in history] == measured["averaged"] != measured["own"]


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
