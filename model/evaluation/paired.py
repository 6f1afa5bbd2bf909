"""Compare two classifiers on the same pictures: DeLong's test of the AUCs, McNemar's exact test at a threshold each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from model.evaluation.intervals import Interval, Z, auc, difference, midranks, placements, proportion


class DifferentPicturesError(ValueError):
    """Two classifiers were not measured on the same pictures with the same labels."""


@dataclass(frozen=True)
class Scored:
    """The scores of one classifier: digests of the pictures, labels [n] of 0 and 1, probabilities [n] in 0..1.

    thresholds: the operating points by name.
    """

    pictures: Sequence[str]
    labels: np.ndarray
    probabilities: np.ndarray
    thresholds: Mapping[str, float]

    def in_order(self) -> "Scored":
        """The same scores in an order that depends on the pictures and labels alone."""
        order = sorted(range(len(self.pictures)), key=lambda index: (self.pictures[index], self.labels[index]))
        listed = [self.pictures[index] for index in order]
        return Scored(listed, self.labels[order], self.probabilities[order], self.thresholds)


def compare(first: Scored, second: Scored) -> dict[str, Any]:
    """All comparisons of two classifiers; every difference is first - second, and every p value two-sided.

    `auc` is None if a class is missing. `operating_points` has those that both have. Raises DifferentPicturesError.
    """
    first, second = first.in_order(), second.in_order()
    _require_same(first, second)
    labels = first.labels
    both_classes = 0 < labels.sum() < len(labels)
    names = [name for name in first.thresholds if name in second.thresholds]
    return {
        "n": len(labels),
        "positives": int(labels.sum()),
        "negatives": int(len(labels) - labels.sum()),
        "auc": areas(labels, first.probabilities, second.probabilities) if both_classes else None,
        "operating_points": {name: _at_point(first, second, name) for name in names},
    }


def areas(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """Both AUCs, their difference with a 95 % interval, and the p value of DeLong's test.

    The test of DeLong, DeLong and Clarke-Pearson (Biometrics 1988; 44: 837-845) for correlated ROC curves. The
    placements, of which each AUC is the mean, come from midranks in O(n log n) (Sun and Xu, IEEE Signal Processing
    Letters 2014; 21: 1389-1393). labels: [n] of 0 and 1; first, second: scores [n] of the same pictures. The interval
    and p are None if the variance of the difference is undefined (one picture of a class) or zero although the scores
    order the pictures differently, as when both separate the classes perfectly. Raises ValueError without a class.
    """
    ours, theirs = placements(labels, first), placements(labels, second)
    m, n = len(ours.positives), len(ours.negatives)
    value = ours.area - theirs.area
    tested: dict[str, Any] = {"value": value, "low": None, "high": None, "n": m + n}
    p = None
    if min(m, n) > 1:
        above, below = ours.positives - theirs.positives, ours.negatives - theirs.negatives
        error = math.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n)
        if error > 1e-12:
            tested |= {"low": value - Z * error, "high": value + Z * error}
            p = math.erfc(abs(value) / error / math.sqrt(2))
        elif np.array_equal(midranks(first), midranks(second)):
            tested |= {"low": value, "high": value}
            p = 1.0
    return {"first": auc(labels, first), "second": auc(labels, second), "difference": tested, "p": p}


def _require_same(first: Scored, second: Scored) -> None:
    if list(first.pictures) == list(second.pictures) and np.array_equal(first.labels, second.labels):
        return
    ours, theirs = set(first.pictures), set(second.pictures)
    if ours == theirs:
        raise DifferentPicturesError("the same pictures have other labels, or are there another number of times")
    raise DifferentPicturesError(
        f"the pictures are not the same: {len(ours & theirs)} were scored by both, {len(ours - theirs)} by the first "
        f"alone, {len(theirs - ours)} by the second alone"
    )


def _at_point(first: Scored, second: Scored, name: str) -> dict[str, Any]:
    thresholds = first.thresholds[name], second.thresholds[name]
    right = [
        (scored.probabilities >= threshold) == (scored.labels == 1)
        for scored, threshold in zip((first, second), thresholds, strict=True)
    ]
    rates = {"sensitivity": first.labels == 1, "specificity": first.labels == 0, "accuracy": first.labels >= 0}
    return {
        "thresholds": list(thresholds),
        **{rate: correct(right[0][counted], right[1][counted]) for rate, counted in rates.items()},
    }


def correct(first: np.ndarray, second: np.ndarray) -> dict[str, Any] | None:
    """Compare which pictures two classifiers get right, bool [n] each; None if there are no pictures.

    The p value is McNemar's exact one: the discordant pictures fall on either side with probability one half. The
    interval of the difference is Newcombe's (Statistics in Medicine 1998; 17: 2635-2650, method 10).
    """
    n = len(first)
    ours, theirs = proportion(int(first.sum()), n), proportion(int(second.sum()), n)
    if ours is None or theirs is None:
        return None
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    return {
        "first": ours,
        "second": theirs,
        "difference": _paired_difference(ours, theirs, first, second),
        "only_first": only_first,
        "only_second": only_second,
        "p": mcnemar(only_first, only_second),
    }


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided exact p value for so many pictures that only one of the two classifiers gets right."""
    n, fewer = only_first + only_second, min(only_first, only_second)
    tail, term = 0, 1
    for k in range(fewer + 1):
        tail += term
        term = term * (n - k) // (k + 1)
    return float(min(Fraction(1), Fraction(2 * tail, 2**n)))


def _paired_difference(ours: Interval, theirs: Interval, first: np.ndarray, second: np.ndarray) -> Interval:
    a, d = int((first & second).sum()), int((~first & ~second).sum())
    b, c = int((first & ~second).sum()), int((~first & second).sum())
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    covariance = a * d - b * c
    if covariance > 0:
        covariance = max(0.0, covariance - len(first) / 2)  # the continuity correction of method 10
    return difference(ours, theirs, covariance / math.sqrt(margins) if margins else 0.0, len(first))
