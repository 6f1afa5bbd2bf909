"""95 % confidence intervals of proportions and their differences, of F1 and of the area under the ROC curve."""

from typing import NamedTuple

import numpy as np

Z = 1.959963984540054  # the normal quantile of a two-sided 95 % interval

Interval = dict[str, float | int]


def wilson(successes: float, n: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion (Wilson 1927, without continuity correction)."""
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} of {n} is not a proportion")
    rate, zz = successes / n, Z * Z / n
    middle = (rate + zz / 2) / (1 + zz)
    half = Z / (1 + zz) * np.sqrt(rate * (1 - rate) / n + zz / (4 * n))
    # For 0 and n successes the bound is exactly 0 or 1; rounding must not move it past the value.
    low = 0.0 if successes == 0 else float(middle - half)
    return low, 1.0 if successes == n else float(middle + half)


def proportion(successes: int, n: int) -> Interval | None:
    """A proportion with its Wilson interval; None if n is 0."""
    if n == 0:
        return None
    low, high = wilson(successes, n)
    return {"value": successes / n, "low": low, "high": high, "n": n}


def difference(first: Interval, second: Interval, correlation: float, n: int) -> Interval:
    """first - second with a 95 % interval from the intervals of both, for estimates with this correlation.

    The limits are those of Newcombe (1998, method 10) and of Zou and Donner (2008, MOVER): the distances of the limits
    from the estimates are added as standard errors are. n: the number of pictures that both depend on.
    """

    def distance(a: float, b: float) -> float:
        return float(np.sqrt(max(0.0, a * a - 2 * correlation * a * b + b * b)))

    value = first["value"] - second["value"]
    low = distance(first["value"] - first["low"], second["high"] - second["value"])
    high = distance(first["high"] - first["value"], second["value"] - second["low"])
    return {"value": value, "low": value - low, "high": value + high, "n": n}


def f1(tp: int, fp: int, fn: int) -> Interval | None:
    """F1 = 2 tp / (2 tp + fp + fn); n is the number of pictures that it depends on, tp + fp + fn.

    F1 = 2 J / (1 + J) with J = tp / (tp + fp + fn) (Hand, Christen and Kirielle 2021). J is a proportion of the
    pictures that are positive or classified as positive. The same increasing function maps its Wilson bounds.
    """
    jaccard = proportion(tp, tp + fp + fn)
    if jaccard is None:
        return None
    bounds = {key: 2 * jaccard[key] / (1 + jaccard[key]) for key in ("value", "low", "high")}
    return {**bounds, "n": jaccard["n"]}


def auc(labels: np.ndarray, probabilities: np.ndarray) -> Interval:
    """Area under the ROC curve (ties count one half) with a 95 % interval.

    The variance is DeLong's (1988), computed with midranks (Sun and Xu 2014); the interval is on the logit scale, so
    that it stays within 0..1. If the variance is zero or undefined (perfect separation, a class of one picture) the
    interval is Newcombe's (2006, method 5), which has a width then, too. Raises ValueError if a class is missing.
    """
    found = placements(labels, probabilities)
    area, m, n = found.area, len(found.positives), len(found.negatives)
    variance = 0.0
    if min(m, n) > 1:
        variance = float(found.positives.var(ddof=1) / m + found.negatives.var(ddof=1) / n)
    if variance > 1e-15 and 0 < area < 1:
        half = Z * np.sqrt(variance) / (area * (1 - area))
        logit = np.log(area / (1 - area))
        low, high = (float(1 / (1 + np.exp(-edge))) for edge in (logit - half, logit + half))
    else:
        low, high = newcombe(area, m, n)
    return {"value": area, "low": low, "high": high, "n": m + n}


class Placements(NamedTuple):
    """An AUC and what it is the mean of.

    positives [m]: for each positive, the share of negatives with a lower score; negatives [n]: for each negative, the
    share of positives with a higher one. Ties count one half.
    """

    area: float
    positives: np.ndarray
    negatives: np.ndarray


def placements(labels: np.ndarray, scores: np.ndarray) -> Placements:
    """The placements of all pictures (Sun and Xu 2014). Raises ValueError if a class is missing."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    m, n = len(positive), len(negative)
    if not m or not n:
        raise ValueError("the AUC requires pictures of both classes")
    ranks = midranks(np.concatenate([positive, negative]))
    above = (ranks[:m] - midranks(positive)) / n
    below = 1 - (ranks[m:] - midranks(negative)) / m
    return Placements(float((ranks[:m].sum() / m - (m + 1) / 2) / n), above, below)


def midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, float64 [n]; equal values get the mean of their ranks."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[group]


def newcombe(area: float, m: int, n: int) -> tuple[float, float]:
    """Score interval of an AUC with Hanley and McNeil's variance (Newcombe 2006, method 5), by bisection."""
    mean = (m + n) / 2

    def excess(theta: float) -> float:
        shape = 1 + (mean - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (area - theta) ** 2 - Z * Z * theta * (1 - theta) * shape / (m * n)

    def edge(outside: float) -> float:
        inside = area
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if excess(middle) <= 0 else (inside, middle)
        return inside

    return edge(0.0) if area > 0 else 0.0, edge(1.0) if area < 1 else 1.0
