"""Figures of a binary classifier with their intervals, from labels and probabilities."""

from typing import Any

import numpy as np

from model.evaluation.intervals import auc, f1, proportion

ECE_BINS = 10


ROWS = {"auc": "AUC", "sensitivity": "sensitivity", "specificity": "specificity", "precision": "precision"}


def evaluate(labels: Any, probabilities: Any, threshold: float) -> dict[str, Any]:
    """Every figure of one scored data set; a picture is called pneumonia when its probability >= `threshold`.

    labels: [n] of 0 and 1; probabilities: [n] in 0..1. An interval is {"value", "low", "high", "n"} at 95 %; where a
    figure has no pictures to rest on (sensitivity without pneumonia, AUC with one class) it is None, never a guess.
    Pictures are taken as independent: with several of one patient the true intervals are somewhat wider.
    Raises ValueError for empty input, other shapes, labels that are not 0 or 1, or what is no probability.
    """
    y, p = checked(labels, probabilities)
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"the threshold must lie in 0..1, not {threshold}")
    called = p >= threshold
    tp, fp = int(np.sum(called & (y == 1))), int(np.sum(called & (y == 0)))
    fn, tn = int(np.sum(~called & (y == 1))), int(np.sum(~called & (y == 0)))
    return {
        "n": len(y),
        "positives": tp + fn,
        "negatives": fp + tn,
        "threshold": float(threshold),
        "auc": auc(y, p) if 0 < tp + fn < len(y) else None,
        "sensitivity": proportion(tp, tp + fn),
        "specificity": proportion(tn, fp + tn),
        "precision": proportion(tp, tp + fp),
        "f1": f1(tp, fp, fn),
        "accuracy": proportion(tp + tn, len(y)),
        "brier": float(np.mean((p - y) ** 2)),
        "ece": calibration_error(y, p),
        "confusion": {"tp": tp, "fp": fp, "tn": tn, "fn": fn},
    }


def checked(labels: Any, probabilities: Any) -> tuple[np.ndarray, np.ndarray]:
    """Labels as int64 [n] and probabilities as float64 [n], or ValueError for anything that cannot be measured."""
    y, p = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    if y.ndim != 1 or y.shape != p.shape:
        raise ValueError(f"labels and probabilities must be two equally long rows, not {y.shape} and {p.shape}")
    if len(y) == 0:
        raise ValueError("nothing to measure: no pictures")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("labels must be 0 (no pneumonia) or 1 (pneumonia)")
    if not ((p >= 0) & (p <= 1)).all():  # a NaN fails both comparisons
        raise ValueError("probabilities must lie in 0..1")
    return y.astype(np.int64), p


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = ECE_BINS) -> float:
    """Expected calibration error: mean |share of positives - mean probability| over equal-width bins, by count."""
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=labels - probabilities, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def table(metrics: dict[str, Any]) -> str:
    """The figures as lines of text: value, 95 % interval, number of pictures."""
    lines = [f"{'':12} value  95 % interval   pictures"]
    for key, title in ROWS.items():
        one = metrics[key]
        if one is None:
            lines.append(f"{title:12} -      nothing to count")
        else:
            lines.append(f"{title:12} {one['value']:.3f}  {one['low']:.3f} to {one['high']:.3f}  {one['n']:8}")
    told = metrics["confusion"]
    lines.append(f"{'Brier':12} {metrics['brier']:.3f}  calibration error {metrics['ece']:.3f}")
    lines.append(f"pneumonia called {told['tp']} of {metrics['positives']}, ")
    lines[-1] += f"none called {told['tn']} of {metrics['negatives']}, at threshold {metrics['threshold']:.6g}"
    return "\n".join(lines)
