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
    read). Each threshold is the largest that reaches its target sensitivity on the copies, because films that are
    cut or exposed otherwise score differently; without copies, on the films themselves. The test part has no say.
    """
    part = SHIFTED if SHIFTED in scored else "validation"
    labels, probabilities = scored[part]
    targets = {DEFAULT_POINT: target_sensitivity, SCREENING: max(SCREENING_SENSITIVITY, target_sensitivity)}
    return {
        name: _point(scored, calibrate.threshold(probabilities, labels, target), target, part)
        for name, target in targets.items()
    }


def measure_again(
    scored: Mapping[str, tuple[np.ndarray, np.ndarray]], points: Mapping[str, StoredPoint]
) -> dict[str, StoredPoint]:
    """Operating points with the thresholds of `points`, measured on `scored`."""
    return {
        name: _point(scored, point["threshold"], point["target_sensitivity"], point["chosen_on"])
        for name, point in points.items()
    }


def _point(
    scored: Mapping[str, tuple[np.ndarray, np.ndarray]], threshold: float, target: float, chosen_on: str
) -> StoredPoint:
    return {
        "threshold": threshold,
        "target_sensitivity": target,
        "chosen_on": chosen_on,
        "validation": _rates(scored["validation"], threshold),
        "test": _rates(scored["test"], threshold) if "test" in scored else None,
    }


def _rates(part: tuple[np.ndarray, np.ndarray], threshold: float) -> Rates:
    measured: dict[str, Any] = evaluate(*part, threshold)
    return {"sensitivity": measured["sensitivity"], "specificity": measured["specificity"]}
