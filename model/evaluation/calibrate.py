"""Calibrate probabilities and choose thresholds, for labelled films that are no test films."""

from decimal import ROUND_DOWN, Context
from typing import Any

import numpy as np

MAX_SCALE = 20.0  # of temperature and of 1 / temperature


def sigmoid(logits: Any, temperature: float = 1.0) -> np.ndarray:
    """The probability of pneumonia, float64 in 0..1, for logits of any shape; numerically stable."""
    z = np.asarray(logits, dtype=np.float64) / temperature
    small = np.exp(-np.abs(z))  # at most 1, so it does not overflow
    return np.where(z >= 0, 1.0, small) / (1.0 + small)


def calibration(logits: Any, labels: Any) -> tuple[float, float]:
    """(temperature, offset) that maximise the likelihood of the labels under sigmoid((logits + offset) / temperature).

    Platt scaling (Platt 1999) with his smoothed targets, which avoid certainty if the classes are separated perfectly.
    The offset undoes the effect of class weights on the balance of the classes, which a temperature alone cannot.
    The temperature stays within 1/20 to 20: a model that is no better than chance gets 20 and probabilities near the
    share of positives. logits, labels: [n]. Raises ValueError if a class is missing.
    """
    from scipy.optimize import minimize

    z, y = _validated(logits, labels)
    positives = int(y.sum())
    negatives = len(y) - positives
    target = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    centre, spread = z.mean(), max(float(z.std()), 1e-6)
    x = (z - centre) / spread  # scaled for the optimizer

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = weights[0] * x + weights[1]
        error = sigmoid(margin) - target
        return float(np.mean(np.logaddexp(0.0, margin) - target * margin)), np.array([(error * x).mean(), error.mean()])

    slopes = (spread / MAX_SCALE, spread * MAX_SCALE)
    result = minimize(
        loss, (np.clip(1.0, *slopes), 0.0), jac=True, method="L-BFGS-B", bounds=(slopes, (None, None)), tol=1e-12
    )
    temperature = spread / result.x[0]
    return float(temperature), float(result.x[1] * temperature - centre)


def threshold(probabilities: Any, labels: Any, target_sensitivity: float) -> float:
    """The largest threshold at which a share >= `target_sensitivity` of the positives has probability >= threshold.

    It is the probability of a positive picture, rounded down to six significant digits so that the rounding errors of
    another machine do not move that picture below it. The target applies to the point estimate on validation: on new
    pictures the sensitivity may be lower, within the reported interval.
    Raises ValueError if a class is missing or for a target outside 0..1 (0 excluded).
    """
    p, y = _validated(probabilities, labels)
    if not 0.0 < target_sensitivity <= 1.0:
        raise ValueError(f"the target sensitivity must be in 0..1, not {target_sensitivity}")
    positives = np.sort(p[y == 1])[::-1]
    # .95 * 20 is 19.000000000000004 on some machines, but 19 of 20 suffice.
    needed = int(np.ceil(target_sensitivity * len(positives) - 1e-9))
    return float(Context(prec=6, rounding=ROUND_DOWN).create_decimal(repr(float(positives[needed - 1]))))


def _validated(scores: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    values, y = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if values.ndim != 1 or values.shape != y.shape:
        raise ValueError(
            f"scores and labels must be one-dimensional and equally long, not {values.shape} and {y.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError("scores must be finite")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("labels must be 0 (no pneumonia) or 1 (pneumonia)")
    if y.min(initial=1) == 1 or y.max(initial=0) == 0:
        raise ValueError("the validation part requires pictures of both classes")
    return values, y
