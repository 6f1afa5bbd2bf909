"""Turn logits into honest probabilities and choose the operating point, both from the validation part alone."""

from decimal import ROUND_DOWN, Context
from typing import Any

import numpy as np

STEEPEST = 20.0  # largest temperature and largest 1 / temperature


def sigmoid(logits: Any, temperature: float = 1.0) -> np.ndarray:
    """Probability of pneumonia, float64 in 0..1, of logits of any shape; stable at both ends."""
    z = np.asarray(logits, dtype=np.float64) / temperature
    small = np.exp(-np.abs(z))  # never above 1, so nothing overflows
    return np.where(z >= 0, 1.0, small) / (1.0 + small)


def calibration(logits: Any, labels: Any) -> tuple[float, float]:
    """(temperature, offset) with which sigmoid((logits + offset) / temperature) is the most likely on these labels.

    Platt scaling (Platt 1999) with his smoothed targets, which keep certainty away where every picture lies on its
    right side. A temperature alone cannot take back what class weights did to the balance of the two classes: that
    is the offset. logits, labels: [n], both classes present, else ValueError. The temperature is held within 1/20 to
    20: a model no better than chance ends at 20, near the share of positives whatever the picture.
    """
    from scipy.optimize import minimize

    z, y = _checked(logits, labels)
    positives = int(y.sum())
    negatives = len(y) - positives
    target = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    centre, spread = z.mean(), max(float(z.std()), 1e-6)
    x = (z - centre) / spread  # keeps the search well scaled

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = weights[0] * x + weights[1]
        error = sigmoid(margin) - target
        return float(np.mean(np.logaddexp(0.0, margin) - target * margin)), np.array([(error * x).mean(), error.mean()])

    slopes = (spread / STEEPEST, spread * STEEPEST)
    found = minimize(
        loss, (np.clip(1.0, *slopes), 0.0), jac=True, method="L-BFGS-B", bounds=(slopes, (None, None)), tol=1e-12
    )
    temperature = spread / found.x[0]
    return float(temperature), float(found.x[1] * temperature - centre)


def threshold(probabilities: Any, labels: Any, target_sensitivity: float) -> float:
    """The largest threshold at which a share >= `target_sensitivity` of the positives has probability >= threshold.

    It is the probability of a positive picture, cut down to six significant digits so that the last bit of another
    machine's arithmetic cannot put that picture on the other side. The point estimate on validation counts, not its
    interval: on new pictures the sensitivity may fall short of the target, and the reported interval says how far.
    Raises ValueError when a class is missing or for a target outside 0..1 (0 excluded).
    """
    p, y = _checked(probabilities, labels)
    if not 0.0 < target_sensitivity <= 1.0:
        raise ValueError(f"the wanted sensitivity must lie in 0..1, not {target_sensitivity}")
    positives = np.sort(p[y == 1])[::-1]
    # .95 * 20 is 19.000000000000004 on some machines: 19 of 20 must do.
    needed = int(np.ceil(target_sensitivity * len(positives) - 1e-9))
    return float(Context(prec=6, rounding=ROUND_DOWN).create_decimal(repr(float(positives[needed - 1]))))


def _checked(scores: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    values, y = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if values.ndim != 1 or values.shape != y.shape:
        raise ValueError(f"scores and labels must be two equally long rows, not {values.shape} and {y.shape}")
    if not np.isfinite(values).all():
        raise ValueError("scores must be finite")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("labels must be 0 (no pneumonia) or 1 (pneumonia)")
    if y.min(initial=1) == 1 or y.max(initial=0) == 0:
        raise ValueError("validation needs pictures of both classes")
    return values, y
