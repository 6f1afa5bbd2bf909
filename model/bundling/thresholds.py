"""Choose the operating points of a bundle on validation films, and measure them on every scored part."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from model.evaluation import calibrate
from model.evaluation.metrics import evaluate
from model.operating_points_section import DEFAULT_POINT, Rates, StoredPoint

SCREENING = "screening"
SCREENING_SENSITIVITY = 0.99  # at least: fewer overlooked films, more false alarms
SHIFTED = "shifted validation"  # copies of the validation films as other hospitals might make them


def measure(scored: Mapping[str, tuple[np.ndarray, np.ndarray]], target_sensitivity: float) -> dict[str, StoredPoint]:
    """The operating points by name.

    scored: labels and probabilities of "validation", of its copies SHIFTED (if there are any), and of "test" (if it was
    read). Each threshold is the largest that reaches its target sensitivity: "balanced" on the copies, because films of
    other hospitals score differently, "screening" on the films themselves, and never above "balanced". The test part
    has no say.
    """
    balanced = SHIFTED if SHIFTED in scored else "validation"
    targets = {
        DEFAULT_POINT: (balanced, target_sensitivity),
        SCREENING: ("validation", max(SCREENING_SENSITIVITY, target_sensitivity)),
    }
    points: dict[str, StoredPoint] = {}
    highest = 1.0
    for name, (part, target) in targets.items():
        labels, probabilities = scored[part]
        threshold = highest = min(calibrate.threshold(probabilities, labels, target), highest)
        points[name] = {
            "threshold": threshold,
            "target_sensitivity": target,
            "chosen_on": part,
            "validation": _rates(scored["validation"], threshold),
            "test": _rates(scored["test"], threshold) if "test" in scored else None,
        }
    return points


def _rates(part: tuple[np.ndarray, np.ndarray], threshold: float) -> Rates:
    measured: dict[str, Any] = evaluate(*part, threshold)
    return {"sensitivity": measured["sensitivity"], "specificity": measured["specificity"]}
