"""The net benefit of a classifier at several thresholds, beside treating all and none (decision curve analysis)."""

from typing import Any

import numpy as np

from model.evaluation.intervals import Interval, difference, proportion
from model.evaluation.metrics import validated

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))


def decision_curve(labels: Any, probabilities: Any) -> dict[str, Any]:
    """The decision curve of a scored data set, each figure with n and a 95 % interval.

    Net benefit at a threshold t is tp / n - fp / n * t / (1 - t) (Vickers and Elkin, Medical Decision Making 2006; 26:
    565-574): t says how many false alarms one found pneumonia is worth. `all` is that of calling every picture
    pneumonia; that of calling none is 0. All of them depend on the share of pneumonia among these pictures, which is
    `prevalence`. labels, probabilities: [n] as for metrics.evaluate. Raises ValueError as it does.
    """
    y, p = validated(labels, probabilities)
    n, positives = len(y), int(y.sum())
    points = []
    for threshold in THRESHOLDS:
        odds, called = threshold / (1 - threshold), p >= threshold
        tp, fp = int((called & (y == 1)).sum()), int((called & (y == 0)).sum())
        found = _net_benefit(tp, fp, n, odds)
        points.append({"threshold": threshold, "model": found, "all": _net_benefit(positives, n - positives, n, odds)})
    return {"n": n, "prevalence": proportion(positives, n), "none": 0.0, "points": points}


def _net_benefit(tp: int, fp: int, n: int, odds: float) -> Interval:
    """tp / n - odds * fp / n; its interval comes from those of the two shares, which are of one multinomial."""
    true, false = _share(tp, n), _share(fp, n)
    spread = true["value"] * false["value"] * (1 - true["value"]) * (1 - false["value"])
    correlation = -true["value"] * false["value"] / np.sqrt(spread) if spread > 0 else 0.0
    costs: Interval = {key: odds * false[key] for key in ("value", "low", "high")} | {"n": n}
    return difference(true, costs, float(correlation), n)


def _share(count: int, n: int) -> Interval:
    share = proportion(count, n)
    assert share is not None  # n is the number of validated pictures
    return share
