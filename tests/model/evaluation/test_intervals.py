"""Intervals against scikit-learn, against published values, and against counting."""

from itertools import product

import numpy as np
import pytest

from model.evaluation.intervals import auc, f1, midranks, newcombe, proportion, wilson
from tests.model.evaluation.drawn_cases import drawn


def pairs_auc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The definition: the share of (positive, negative) pairs in the right order, ties one half."""
    wins = [(a > b) + 0.5 * (a == b) for a, b in product(probabilities[labels == 1], probabilities[labels == 0])]
    return float(np.mean(wins))


def delong_variance(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """DeLong's variance by its definition, pair by pair: slow, and without any rank."""
    positive, negative = probabilities[labels == 1], probabilities[labels == 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    return wins.mean(axis=1).var(ddof=1) / len(positive) + wins.mean(axis=0).var(ddof=1) / len(negative)


@pytest.mark.parametrize("digits", [1, 2, 6])
@pytest.mark.parametrize("sizes", [(2, 2), (3, 40), (60, 35)])
def test_auc_is_the_share_of_ordered_pairs_and_scikit_learns(sizes: tuple, digits: int) -> None:
    from sklearn.metrics import roc_auc_score

    for seed in range(5):
        labels, probabilities = drawn(seed, *sizes, digits=digits)
        assert auc(labels, probabilities)["value"] == pytest.approx(pairs_auc(labels, probabilities), abs=1e-12)
        assert auc(labels, probabilities)["value"] == pytest.approx(roc_auc_score(labels, probabilities), abs=1e-12)


@pytest.mark.parametrize("digits", [1, 6])
def test_auc_interval_is_delongs_on_the_logit_scale(digits: int) -> None:
    labels, probabilities = drawn(3, 50, 40, digits=digits)
    area = auc(labels, probabilities)
    error = np.sqrt(delong_variance(labels, probabilities)) / (area["value"] * (1 - area["value"]))
    logit = np.log(area["value"] / (1 - area["value"]))
    wanted = 1 / (1 + np.exp(-(logit + 1.959963984540054 * error * np.array([-1, 1]))))
    assert [area["low"], area["high"]] == pytest.approx(list(wanted), abs=1e-9)
    assert area["n"] == 90


def test_auc_interval_agrees_with_the_bootstrap() -> None:
    labels, probabilities = drawn(11, 150, 100, shift=1.5)
    dice = np.random.default_rng(5)
    again = []
    for _ in range(600):
        picked = np.concatenate([dice.choice(150, 150), 150 + dice.choice(100, 100)])
        again.append(auc(labels[picked], probabilities[picked])["value"])
    low, high = np.percentile(again, [2.5, 97.5])
    area = auc(labels, probabilities)
    assert area["low"] == pytest.approx(low, abs=0.012)
    assert area["high"] == pytest.approx(high, abs=0.012)


def test_auc_interval_covers_the_truth_as_often_as_it_says() -> None:
    from scipy.stats import norm

    truth = norm.cdf(2.0 / np.sqrt(2))  # two unit normals two apart
    hits = 0
    for seed in range(400):
        area = auc(*drawn(seed, 60, 40, shift=2.0, digits=12))
        hits += area["low"] <= truth <= area["high"]
    assert 0.92 <= hits / 400 <= 0.98


def test_perfect_separation_does_not_claim_certainty() -> None:
    labels, probabilities = np.array([0] * 20 + [1] * 30), np.linspace(0, 1, 50)
    area = auc(labels, probabilities)
    assert area["value"] == 1.0 and area["high"] == 1.0
    assert 0.85 < area["low"] < 0.97
    mirrored = auc(1 - labels, probabilities)
    assert mirrored["value"] == 0.0 and mirrored["high"] == pytest.approx(1 - area["low"])


def test_one_picture_a_class_gives_the_score_interval_of_one_trial() -> None:
    """Newcombe's interval with one pair is Wilson's with one trial."""
    area = auc(np.array([0, 1]), np.array([0.2, 0.8]))
    assert (area["low"], area["high"]) == pytest.approx(wilson(1, 1), abs=1e-12)
    assert newcombe(0.5, 10, 10) == pytest.approx((0.27351558818989, 0.72648441181011), abs=1e-9)


def test_equal_probabilities_have_auc_one_half() -> None:
    area = auc(np.array([0, 1] * 10), np.full(20, 0.3))
    assert area["value"] == 0.5
    assert area["low"] < 0.3 and area["high"] > 0.7


def test_auc_without_a_class_is_an_error() -> None:
    with pytest.raises(ValueError, match="both classes"):
        auc(np.array([1, 1]), np.array([0.1, 0.2]))


def test_midranks_are_scipys() -> None:
    from scipy.stats import rankdata

    values = np.array([3.0, 1, 1, 7, 3, 3, -2])
    assert midranks(values).tolist() == rankdata(values).tolist()


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(hits: int, n: int, low: float, high: float) -> None:
    assert wilson(hits, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson(n - hits, n) == pytest.approx((1 - high, 1 - low), abs=5e-5)


@pytest.mark.parametrize(("hits", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_refuses_what_is_no_proportion(hits: int, n: int) -> None:
    with pytest.raises(ValueError, match="not a proportion"):
        wilson(hits, n)


@pytest.mark.parametrize("n", [1, 2, 7, 390, 100000])
def test_wilson_bounds_hold_the_value(n: int) -> None:
    for hits in {0, 1, n // 2, n - 1, n}:
        interval = proportion(hits, n)
        assert 0 <= interval["low"] <= interval["value"] <= interval["high"] <= 1


def test_f1_interval_covers_the_truth() -> None:
    """Simulated classifiers of known F1; Wilson on tp / (tp + fp + fn) must cover in about 95 of 100."""
    dice = np.random.default_rng(2)
    share, sensitivity, specificity = 0.4, 0.85, 0.9
    tp, fp, fn = share * sensitivity, (1 - share) * (1 - specificity), share * (1 - sensitivity)
    truth, hits = 2 * tp / (2 * tp + fp + fn), 0
    for _ in range(1000):
        counted = dice.multinomial(200, [tp, fp, fn, 1 - tp - fp - fn])
        interval = f1(*(int(count) for count in counted[:3]))
        hits += interval["low"] <= truth <= interval["high"]
    assert 0.93 <= hits / 1000 <= 0.97
