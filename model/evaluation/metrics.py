"""The metrics of a binary classifier with their 95 % intervals, from labels and probabilities."""

from typing import Any

import numpy as np

from model.evaluation.intervals import auc, f1, proportion

ECE_BINS = 10
TITLES = {
    "auc": "AUC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "precision": "precision",
    "f1": "F1",
    "accuracy": "accuracy",
}


def evaluate(labels: Any, probabilities: Any, threshold: float) -> dict[str, Any]:
    """The metrics of a scored data set; a picture is classified as pneumonia if its probability >= `threshold`.

    labels: [n] of 0 and 1; probabilities: [n] in 0..1. A metric with an interval is {"value", "low", "high", "n"}
    at 95 %, or None if it is undefined (sensitivity without pneumonia, AUC with one class).
    Pictures count as independent: with several pictures of a patient the true intervals are somewhat wider.
    Raises ValueError for empty input, other shapes, and labels or probabilities outside their range.
    """
    y, p = validated(labels, probabilities)
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


def validated(labels: Any, probabilities: Any) -> tuple[np.ndarray, np.ndarray]:
    """Labels as int64 [n] and probabilities as float64 [n]. Raises ValueError if they are not valid."""
    y, p = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    if y.ndim != 1 or y.shape != p.shape:
        raise ValueError(
            f"labels and probabilities must be one-dimensional and equally long, not {y.shape} and {p.shape}"
        )
    if len(y) == 0:
        raise ValueError("there are no pictures to measure")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("labels must be 0 (no pneumonia) or 1 (pneumonia)")
    if not ((p >= 0) & (p <= 1)).all():  # a NaN fails both comparisons
        raise ValueError("probabilities must lie in 0..1")
    return y.astype(np.int64), p


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = ECE_BINS) -> float:
    """Expected calibration error: |share of positives - mean probability| of equal-width bins, weighted by count."""
    bin_of = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, weights=labels - probabilities, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def table(metrics: dict[str, Any]) -> str:
    """The metrics as lines of text: value, 95 % interval, number of pictures."""
    lines = [f"{'':12} value  95 % interval   pictures"]
    for key, title in TITLES.items():
        metric = metrics[key]
        if metric is None:
            lines.append(f"{title:12} -      undefined: no pictures to count")
        else:
            low, high = metric["low"], metric["high"]
            lines.append(f"{title:12} {metric['value']:.3f}  {low:.3f} to {high:.3f}  {metric['n']:8}")
    confusion = metrics["confusion"]
    lines.append(f"{'Brier':12} {metrics['brier']:.3f}  calibration error {metrics['ece']:.3f}")
    lines.append(
        f"correct at threshold {metrics['threshold']:.6g}: {confusion['tp']} of {metrics['positives']} with pneumonia, "
        f"{confusion['tn']} of {metrics['negatives']} without"
    )
    return "\n".join(lines)


def score_bins(probabilities: np.ndarray) -> list[int]:
    """How many of the probabilities, float64 [n], are in each tenth from 0 to 1."""
    tenths = np.minimum((probabilities * 10).astype(int), 9)
    return [int(count) for count in np.bincount(tenths, minlength=10)]
