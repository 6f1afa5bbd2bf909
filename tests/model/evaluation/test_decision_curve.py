"""The decision curve against its definition, and its intervals against simulation."""

import numpy as np
import pytest

from model.evaluation.decision_curve import THRESHOLDS, decision_curve


def drawn(seed: int, n: int = 200, share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.default_rng(seed)
    labels = (dice.random(n) < share).astype(int)
    return labels, 1 / (1 + np.exp(-(dice.normal(0, 1, n) + 2 * labels - 1.5)))


def test_net_benefit_is_its_definition() -> None:
    labels, p = drawn(1)
    curve = decision_curve(labels, p)
    assert curve["n"] == 200 and curve["prevalence"]["value"] == labels.mean() and curve["none"] == 0.0
    assert [point["threshold"] for point in curve["points"]] == list(THRESHOLDS) and len(THRESHOLDS) == 19
    for point in curve["points"]:
        t = point["threshold"]
        called = p >= t
        wanted = (called & (labels == 1)).mean() - (called & (labels == 0)).mean() * t / (1 - t)
        assert point["model"]["value"] == pytest.approx(wanted, abs=1e-12) and point["model"]["n"] == 200
        assert point["all"]["value"] == pytest.approx(labels.mean() - (1 - labels.mean()) * t / (1 - t), abs=1e-12)
        assert point["model"]["low"] <= point["model"]["value"] <= point["model"]["high"]


def test_calling_all_is_calling_all() -> None:
    labels, _ = drawn(2)
    for point in decision_curve(labels, np.full(200, 0.99))["points"]:
        assert point["model"] == point["all"]


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.8])
def test_the_interval_covers_the_truth(threshold: float) -> None:
    labels, p = drawn(0, 400_000)
    index, key = THRESHOLDS.index(threshold), ("low", "high")
    truth = decision_curve(labels, p)["points"][index]["model"]["value"]
    hits = 0
    for seed in range(1, 401):
        low, high = (decision_curve(*drawn(seed))["points"][index]["model"][edge] for edge in key)
        hits += low <= truth <= high
    assert 0.92 <= hits / 400 <= 0.99


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_a_curve(label: int) -> None:
    for point in decision_curve([label] * 5, [0.5] * 5)["points"]:
        assert np.isfinite([point["model"][key] for key in ("value", "low", "high")]).all()


def test_no_pictures_are_an_error() -> None:
    with pytest.raises(ValueError, match="no pictures"):
        decision_curve([], [])
