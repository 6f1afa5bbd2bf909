"""Choose the operating points of a bundle on the validation part, and measure them on every scored part."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from model.evaluation import calibrate
from model.evaluation.metrics import evaluate
from model.operating_points_section import DEFAULT_POINT, Rates, StoredPoint

SCREENING = "screening"
SCREENING_SENSITIVITY = 0.99  # at least: fewer overlooked films, more false alarms


def measure(scored: Mapping[str, tuple[np.ndarray, np.ndarray]], target_sensitivity: float) -> dict[str, StoredPoint]:
    """The operating points by name. `scored`: labels and probabilities of "validation" and, if it was read, "test".

    Each threshold is the largest that reaches its target sensitivity on the validation part; the test part has no say.
    """
    targets = {DEFAULT_POINT: target_sensitivity, SCREENING: max(SCREENING_SENSITIVITY, target_sensitivity)}
    labels, probabilities = scored["validation"]
    points: dict[str, StoredPoint] = {}
    for name, target in targets.items():
        threshold = calibrate.threshold(probabilities, labels, target)
        points[name] = {
            "threshold": threshold,
            "target_sensitivity": target,
            "chosen_on": "validation",
            "validation": _rates(scored["validation"], threshold),
            "test": _rates(scored["test"], threshold) if "test" in scored else None,
        }
    return points


def _rates(part: tuple[np.ndarray, np.ndarray], threshold: float) -> Rates:
    measured: dict[str, Any] = evaluate(*part, threshold)
    return {"sensitivity": measured["sensitivity"], "specificity": measured["specificity"]}
