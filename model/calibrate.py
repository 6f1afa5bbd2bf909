"""Turn logits into honest probabilities and choose the operating point, both from the validation part alone."""

from decimal import ROUND_DOWN, Context
from typing import Any

import numpy as np

COOLEST, HOTTEST = 0.05, 20.0


def sigmoid(logits: Any, temperature: float = 1.0) -> np.ndarray:
    """Probability of pneumonia, float64 in 0..1, of logits of any shape; stable at both ends."""
    z = np.asarray(logits, dtype=np.float64) / temperature
    small = np.exp(-np.abs(z))  # never above 1, so nothing overflows
    return np.where(z >= 0, 1.0, small) / (1.0 + small)


def temperature(logits: Any, labels: Any) -> float:
    """The T > 0 that minimises the negative log likelihood of sigmoid(logits / T) (Guo et al. 2017).

    logits, labels: [n], both classes present, else ValueError. Searched on log T within 0.05..20. When every picture
    lies on its right side the likelihood grows without end as T falls: such data say nothing of T, and 1 is returned
    rather than certainty. A model worse than chance ends at the upper bound, at probabilities near one half.
    """
    from scipy.optimize import minimize_scalar

    z, y = _checked(logits, labels)
    margins = np.where(y == 1, z, -z)
    if (margins > 0).all():
        return 1.0

    def loss(log_t: float) -> float:
        return float(np.logaddexp(0.0, -margins / np.exp(log_t)).mean())

    found = minimize_scalar(loss, bounds=(np.log(COOLEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


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
