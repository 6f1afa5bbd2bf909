"""Paired comparisons against published values, against scipy, against DeLong's definition, against resampling."""

import numpy as np
import pytest

from model.evaluation.paired import DifferentPicturesError, Scored, areas, compare, correct, mcnemar


def two_models(
    seed: int, positives: int, negatives: int, better: float = 0.0, digits: int = 6
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and the scores of two models that share half of their noise."""
    dice = np.random.default_rng(seed)
    labels = np.repeat([1, 0], [positives, negatives])
    shared, first, second = dice.normal(0, 1, (3, len(labels)))
    ours, theirs = (1.0 + better) * labels + shared + first, labels + shared + second
    return labels, *(np.round(1 / (1 + np.exp(-scores)), digits) for scores in (ours, theirs))


def delong_by_definition(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """(difference, standard error) from all pairs, as the paper defines the covariances."""
    structure = []
    for scores in (first, second):
        positive, negative = scores[labels == 1], scores[labels == 0]
        wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
        structure.append((wins.mean(), wins.mean(axis=1), wins.mean(axis=0)))
    m, n = int(labels.sum()), int(len(labels) - labels.sum())
    by_positive = np.cov([structure[0][1], structure[1][1]])
    by_negative = np.cov([structure[0][2], structure[1][2]])
    contrast = np.array([1, -1])
    variance = contrast @ (by_positive / m + by_negative / n) @ contrast
    return structure[0][0] - structure[1][0], float(np.sqrt(variance))


@pytest.mark.parametrize("digits", [1, 2, 6])
@pytest.mark.parametrize("sizes", [(2, 3), (20, 35), (60, 40)])
def test_delong_is_the_papers_definition(sizes: tuple[int, int], digits: int) -> None:
    from scipy.stats import norm

    for seed in range(5):
        labels, first, second = two_models(seed, *sizes, digits=digits)
        value, error = delong_by_definition(labels, first, second)
        found = areas(labels, first, second)
        assert found["difference"]["value"] == pytest.approx(value, abs=1e-12)
        if error > 1e-9:
            half = (found["difference"]["high"] - found["difference"]["low"]) / 2
            assert half == pytest.approx(1.959963984540054 * error)
            assert found["p"] == pytest.approx(2 * norm.sf(abs(value) / error))


def test_delong_agrees_with_the_bootstrap_and_with_swapping_the_models() -> None:
    labels, first, second = two_models(4, 120, 100, better=0.35)
    found, dice = areas(labels, first, second), np.random.default_rng(1)
    again, swapped = [], []
    for _ in range(800):
        picked = np.concatenate([dice.choice(120, 120), 120 + dice.choice(100, 100)])
        again.append(areas(labels[picked], first[picked], second[picked])["difference"]["value"])
        flip = dice.random(220) < 0.5
        ours, theirs = np.where(flip, second, first), np.where(flip, first, second)
        swapped.append(areas(labels, ours, theirs)["difference"]["value"])
    low, high = np.percentile(again, [2.5, 97.5])
    difference = found["difference"]
    assert (difference["low"], difference["high"]) == pytest.approx((low, high), abs=0.012)
    # Both models have scores on one scale, so that under the null hypothesis a picture's two scores may be swapped.
    share = np.mean(np.abs(swapped) >= abs(difference["value"]))
    assert found["p"] == pytest.approx(share, abs=0.02)


def test_delong_rejects_equal_models_as_often_as_it_says() -> None:
    p = [areas(*two_models(seed, 60, 60))["p"] for seed in range(400)]
    assert 0.02 <= np.mean(np.array(p) < 0.05) <= 0.08


def test_the_same_order_of_pictures_is_no_difference() -> None:
    labels, first, _ = two_models(1, 20, 20)
    found = areas(labels, first, first**2)
    assert found["p"] == 1.0 and found["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0, "n": 40}


def test_an_undefined_variance_gives_no_p_value() -> None:
    perfect, none = np.array([0.9, 0.8, 0.2, 0.1]), np.full(4, 0.5)
    found = areas(np.array([1, 1, 0, 0]), perfect, none)
    assert found["difference"]["value"] == 0.5 and found["p"] is None and found["difference"]["low"] is None
    assert areas(np.array([1, 0, 0, 0]), perfect, none)["p"] is None  # one positive
    # Both are perfect on these few pictures, and order them differently: that does not prove that they are equal.
    other = areas(np.array([1, 1, 0, 0]), perfect, np.array([0.8, 0.9, 0.2, 0.1]))
    assert other["difference"]["value"] == 0 and other["difference"]["low"] is None and other["p"] is None


@pytest.mark.parametrize(("b", "c"), [(0, 0), (0, 1), (5, 5), (12, 2), (2, 12), (30, 47), (0, 40), (400, 460)])
def test_mcnemar_is_scipys_exact_binomial_test(b: int, c: int) -> None:
    from scipy.stats import binomtest

    wanted = binomtest(b, b + c).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(wanted, rel=1e-9)


def answers(a: int, b: int, c: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Which pictures two models get right: a both, b the first alone, c the second alone, d none."""
    return np.repeat([True, True, False, False], (a, b, c, d)), np.repeat([True, False, True, False], (a, b, c, d))


def test_the_paired_difference_has_newcombes_published_interval() -> None:
    """Newcombe, Statistics in Medicine 17 (1998) 2635-2650: 36, 12, 2, 0 by method 10."""
    found = correct(*answers(36, 12, 2, 0))
    assert found is not None
    interval = found["difference"]
    assert [interval[key] for key in ("value", "low", "high")] == pytest.approx([0.2, 0.0569, 0.3404], abs=5e-5)
    assert (found["only_first"], found["only_second"]) == (12, 2)
    mirrored = correct(*answers(36, 2, 12, 0))
    assert mirrored is not None and mirrored["difference"]["low"] == pytest.approx(-interval["high"])


def test_the_paired_interval_covers_the_truth() -> None:
    dice, hits, shares = np.random.default_rng(2), 0, np.array([0.7, 0.15, 0.07, 0.08])
    for _ in range(600):
        found = correct(*answers(*(int(count) for count in dice.multinomial(80, shares))))
        assert found is not None
        hits += found["difference"]["low"] <= 0.08 <= found["difference"]["high"]
    assert 0.93 <= hits / 600 <= 0.985


def scored(labels: np.ndarray, probabilities: np.ndarray, names: list[str] | None = None, **points: float) -> Scored:
    return Scored(names or [f"{number:03}" for number in range(len(labels))], labels, probabilities, points)


def test_a_comparison_counts_by_class_whatever_the_order_of_the_pictures() -> None:
    labels, first, second = two_models(9, 30, 20)
    ours = scored(labels, first, balanced=0.5, screening=0.2)
    turned = np.arange(50)[::-1]
    names = [f"{number:03}" for number in turned]
    theirs = scored(labels[turned], second[turned], names, balanced=0.6, other=0.1)
    found = compare(ours, theirs)
    assert list(found["operating_points"]) == ["balanced"]
    point = found["operating_points"]["balanced"]
    ill = labels == 1
    assert point["sensitivity"]["first"]["value"] == pytest.approx((first[ill] >= 0.5).mean())
    assert point["specificity"]["second"]["value"] == pytest.approx((second[~ill] < 0.6).mean())
    assert point["sensitivity"]["only_first"] == int(((first >= 0.5) & (second < 0.6) & ill).sum())
    assert point["accuracy"]["difference"]["n"] == 50 and point["thresholds"] == [0.5, 0.6]
    assert found["auc"] == areas(labels, first, second)
    assert (found["n"], found["positives"], found["negatives"]) == (50, 30, 20)


def test_other_pictures_or_other_labels_are_refused() -> None:
    labels, first, second = two_models(9, 3, 2)
    ours = scored(labels, first)
    with pytest.raises(DifferentPicturesError, match="4 were scored by both, 1 by the first alone, 0 by the second"):
        compare(ours, scored(labels[:4], second[:4]))
    with pytest.raises(DifferentPicturesError, match="other labels"):
        compare(ours, scored(1 - labels, second))
    twice = ["000", "000", "002", "003", "004"]
    with pytest.raises(DifferentPicturesError, match="1 by the first alone"):
        compare(ours, scored(labels, second, twice))


def test_one_class_has_no_auc() -> None:
    found = compare(scored(np.ones(3, int), np.full(3, 0.6), at=0.5), scored(np.ones(3, int), np.full(3, 0.4), at=0.5))
    assert found["auc"] is None and found["operating_points"]["at"]["specificity"] is None
    assert found["operating_points"]["at"]["sensitivity"]["p"] == 0.25
