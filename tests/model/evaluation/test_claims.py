"""Claims against counting: what a confusion matrix gives is possible, and an exhaustive search agrees."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from model.evaluation.claims import RATES, Claim, Counts, check, claim


def claims(**texts: str) -> list[Claim]:
    return [claim(name, text) for name, text in texts.items()]


def agrees(counts: Counts, stated: list[Claim]) -> bool:
    """By the definitions, for one confusion matrix."""
    rates = counts.rates()
    for each in stated:
        if each.name == "auc":
            low, high = counts.auc_bounds()
            pairs = (counts.tp + counts.fn) * (counts.tn + counts.fp)
            halves = [Fraction(half, 2 * pairs) for half in range(2 * pairs + 1)]
            if not any(max(low, each.low) <= half <= min(high, each.high) for half in halves):
                return False
        elif (rate := rates[each.name]) is None or not each.low <= rate <= each.high:
            return False
    return True


def by_counting(positives: int, negatives: int, stated: list[Claim]) -> list[Counts]:
    every = product(range(positives + 1), range(negatives + 1))
    matrices = [Counts(tp, negatives - tn, tn, positives - tp) for tp, tn in every]
    return [counts for counts in matrices if agrees(counts, stated)]


def test_the_shipped_models_card_is_possible() -> None:
    """386 of 390 and 183 of 234: the card's figures on the test part."""
    stated = claims(
        sensitivity="0.990", specificity="0.782", accuracy="0.912", precision="0.883", f1="0.933", auc=".983"
    )
    verdict = check(390, 234, stated)
    assert verdict.possible == 1 and verdict.counts == (Counts(386, 51, 183, 4),)


def test_an_impossible_accuracy_is_named_with_what_contradicts_it() -> None:
    """An accuracy lies between sensitivity and specificity."""
    verdict = check(390, 234, claims(sensitivity="0.931", specificity="0.902", accuracy="0.950"))
    assert verdict.possible == 0 and verdict.contradictions == (("sensitivity", "specificity", "accuracy"),)
    nearest = verdict.nearest
    assert nearest is not None and 0 < verdict.deviation < 0.02
    worst = max(
        max(each.low - rate, rate - each.high)
        for each in claims(sensitivity="0.931", specificity="0.902", accuracy="0.950")
        if (rate := nearest.rates()[each.name]) is not None
    )
    assert float(worst) == pytest.approx(verdict.deviation, abs=1e-6)


def test_a_share_that_no_whole_number_gives_is_impossible_alone() -> None:
    verdict = check(7, 9, claims(sensitivity="0.90", specificity="0.889"))  # 6/7 = .857, 7/7 = 1
    assert verdict.contradictions == (("sensitivity",),)
    assert verdict.nearest is not None and verdict.nearest.tp == 6


def test_an_auc_outside_what_the_operating_point_allows_is_impossible() -> None:
    """With .9 and .8, the AUC lies between .72 and .98."""
    for text, possible in (("0.71", False), ("0.72", True), ("0.98", True), ("0.99", False)):
        verdict = check(100, 100, claims(sensitivity="0.90", specificity="0.80", auc=text))
        assert bool(verdict.possible) is possible, text


def test_an_auc_between_two_numbers_of_half_pairs_is_impossible() -> None:
    assert check(2, 2, claims(auc="0.875")).possible and not check(2, 2, claims(auc="0.88")).contradictions
    assert check(2, 2, claims(auc="0.90")).contradictions == (("auc",),)  # .875 and 1 are the nearest


def test_the_auc_bounds_are_those_of_all_orders_of_scores() -> None:
    """Every order of four positives and three negatives, each at every threshold that gives the counts."""
    labels = np.array([1, 1, 1, 1, 0, 0, 0])
    seen: dict[Counts, list[Fraction]] = {}
    dice = np.random.default_rng(3)
    for _ in range(4000):
        scores = dice.integers(0, 8, 7)
        wins = (scores[labels == 1][:, None] > scores[labels == 0]).sum()
        ties = (scores[labels == 1][:, None] == scores[labels == 0]).sum()
        for threshold in range(9):
            tp, fp = (int((scores[labels == label] >= threshold).sum()) for label in (1, 0))
            area = Fraction(int(2 * wins + ties), 24)
            seen.setdefault(Counts(tp, fp, 3 - fp, 4 - tp), []).append(area)
    assert len(seen) == 20
    for counts, areas in seen.items():
        low, high = counts.auc_bounds()
        assert low <= min(areas) and max(areas) <= high
        assert (min(areas), max(areas)) == (low, high) or len(areas) < 200, counts


@pytest.mark.parametrize("seed", range(40))
def test_the_search_finds_what_counting_finds(seed: int) -> None:
    dice = np.random.default_rng(seed)
    positives, negatives = (int(number) for number in dice.integers(1, 14, 2))
    names = [name for name in RATES if dice.random() < 0.6]
    tp, tn = int(dice.integers(positives + 1)), int(dice.integers(negatives + 1))
    truth = Counts(tp, negatives - tn, tn, positives - tp)
    values = {**truth.rates(), "auc": sum(truth.auc_bounds()) / 2}
    stated = []
    for name in names:
        value = values[name] if dice.random() < 0.7 else Fraction(int(dice.integers(0, 101)), 100)
        if value is not None:
            stated.append(claim(name, f"{float(value):.2f}" if dice.random() < 0.5 else f"{100 * float(value):.1f}%"))
    expected = by_counting(positives, negatives, stated)
    verdict = check(positives, negatives, stated)
    assert verdict.possible == len(expected) and set(verdict.counts) <= set(expected)
    if not expected:
        assert verdict.contradictions and verdict.nearest is not None
        for chosen in verdict.contradictions:
            kept = [each for each in stated if each.name in chosen]
            assert by_counting(positives, negatives, kept) == []
            for left_out in chosen:
                assert by_counting(positives, negatives, [each for each in kept if each.name != left_out])


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("0.93", "0.925", "0.935"),
        (".9", "0.85", "0.95"),
        ("93.2%", "0.9315", "0.9325"),
        ("1.00", "0.995", "1"),
        ("0", "0", "0.5"),
        ("100%", "0.995", "1"),
    ],
)
def test_the_digits_say_how_a_rate_was_rounded(text: str, low: str, high: str) -> None:
    stated = claim("sensitivity", text)
    assert (stated.low, stated.high) == (Fraction(low), Fraction(high))


def test_digits_that_were_cut_off_allow_only_more() -> None:
    """2 of 3 is 0.67 if rounded, and 0.66 if cut off."""
    for rounding, text in (("nearest", "0.67"), ("down", "0.66")):
        other = "0.66" if text == "0.67" else "0.67"
        assert check(3, 3, [claim("sensitivity", text, rounding)]).possible == 4
        assert check(3, 3, [claim("sensitivity", other, rounding)]).possible == 0


@pytest.mark.parametrize("text", ["", "x", "1.01", "101%", "-0.1", "0.9.1", "1e-1", "nan", "0,93"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"rate|between 0 and 1"):
        claim("sensitivity", text)


def test_a_class_without_pictures_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        check(0, 5, [])


def test_thousands_of_pictures_are_searched_quickly() -> None:
    stated = claims(
        sensitivity="0.9321", specificity="0.9012", accuracy="0.9402", precision="0.91", f1="0.92", auc="0.99"
    )
    verdict = check(5000, 5000, stated)
    assert verdict.possible == 0 and verdict.nearest is not None
