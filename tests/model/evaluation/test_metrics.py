"""Figures against scikit-learn and by hand; input that cannot be measured is an error."""

import json

import numpy as np
import pytest

from model.evaluation.metrics import calibration_error, evaluate, table
from tests.model.evaluation.drawn_cases import drawn


def test_every_figure_agrees_with_scikit_learn() -> None:
    from sklearn import metrics

    labels, probabilities = drawn(7, 120, 80, digits=2)
    result = evaluate(labels, probabilities, 0.55)
    called = probabilities >= 0.55
    assert result["n"] == 200 and result["positives"] == 120 and result["negatives"] == 80
    assert result["threshold"] == 0.55
    wanted = {
        "auc": (metrics.roc_auc_score(labels, probabilities), 200),
        "sensitivity": (metrics.recall_score(labels, called), 120),
        "specificity": (metrics.recall_score(1 - labels, ~called), 80),
        "precision": (metrics.precision_score(labels, called), int(called.sum())),
        "f1": (metrics.f1_score(labels, called), 200 - result["confusion"]["tn"]),
        "accuracy": (metrics.accuracy_score(labels, called), 200),
    }
    for name, (value, n) in wanted.items():
        assert result[name]["value"] == pytest.approx(value), name
        assert result[name]["n"] == n, name
        assert 0 <= result[name]["low"] < value < result[name]["high"] <= 1, name
    assert result["brier"] == pytest.approx(metrics.brier_score_loss(labels, probabilities))
    tn, fp, fn, tp = metrics.confusion_matrix(labels, called).ravel()
    assert result["confusion"] == {"tp": tp, "fp": fp, "tn": tn, "fn": fn}
    json.dumps(result, allow_nan=False)


def test_a_probability_on_the_threshold_is_called_pneumonia() -> None:
    result = evaluate([1, 0], [0.5, 0.5], 0.5)
    assert result["confusion"] == {"tp": 1, "fp": 1, "tn": 0, "fn": 0}


def test_missing_classes_have_no_figures() -> None:
    """One class only: its own rate stands, the other's and the AUC are None and never 0 or 1."""
    healthy = evaluate([0, 0, 0], [0.1, 0.2, 0.9], 0.5)
    assert healthy["auc"] is None and healthy["sensitivity"] is None
    assert healthy["specificity"]["value"] == pytest.approx(2 / 3)
    assert healthy["precision"]["value"] == 0.0 and healthy["f1"]["value"] == 0.0
    ill = evaluate([1, 1], [0.1, 0.2], 0.5)
    assert ill["auc"] is None and ill["specificity"] is None and ill["precision"] is None
    assert evaluate([0], [0.1], 0.5)["f1"] is None
    assert "undefined" in table(ill)


@pytest.mark.parametrize(
    ("labels", "probabilities", "words"),
    [
        ([], [], "no pictures"),
        ([0, 1], [0.5], "equally long"),
        ([[0, 1]], [[0.5, 0.5]], "equally long"),
        ([0, 2], [0.5, 0.5], "labels must be 0"),
        ([0, 0.5], [0.5, 0.5], "labels must be 0"),
        ([0, 1], [0.5, 1.5], "0..1"),
        ([0, 1], [-0.1, 0.5], "0..1"),
        ([0, 1], [0.5, float("nan")], "0..1"),
    ],
)
def test_input_that_cannot_be_measured_is_an_error(labels: list, probabilities: list, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        evaluate(labels, probabilities, 0.5)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_outside_is_an_error(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        evaluate([0, 1], [0.2, 0.7], threshold)


def test_calibration_error_by_hand() -> None:
    labels, probabilities = np.array([1, 0, 1, 1]), np.array([0.05, 0.05, 0.95, 1.0])
    # First tenth: mean .05 against .5, two of four; last: mean .975 against 1, two of four.
    assert calibration_error(labels, probabilities) == pytest.approx(0.5 * 0.45 + 0.5 * 0.025)
    assert calibration_error(np.array([0, 1]), np.array([0.0, 1.0])) == 0.0


def test_a_table_has_every_figure_with_its_number() -> None:
    lines = table(evaluate(*drawn(1, 30, 20), 0.5)).splitlines()
    for title, n in (("AUC", "50"), ("sensitivity", "30"), ("specificity", "20"), ("accuracy", "50")):
        assert any(line.startswith(title) and line.endswith(n) for line in lines), title
