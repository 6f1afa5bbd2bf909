"""Measure the networks of a new bundle on its data: operating points, metrics and plots."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from model.bundle import Bundle
from model.bundling import thresholds
from model.data.dataset import DataSet
from model.data.shifted import DRAWS
from model.evaluation import calibrate, plots
from model.evaluation.assess import score
from model.evaluation.metrics import evaluate, score_bins
from model.operating_points_section import DEFAULT_POINT, StoredPoint
from model.serving.predict import Classifier

Labelled = tuple[np.ndarray, np.ndarray]  # pixels uint8 [n, height, width, 1], labels int64 [n]
BATCH = 64


def sections(
    classifier: Classifier,
    dataset: DataSet,
    copies: Labelled,
    target_sensitivity: float,
    test: bool,
    report: Path,
    base: Bundle | None,
) -> dict[str, Any]:
    """The sections of the manifest that state what was measured; draws the plots into the folder `report`.

    copies: shifted ones of the validation films (model.data.shifted). base: the bundle whose networks these are; its
    thresholds are kept, as its calibration is. The test part is scored only if `test` is set.
    """
    scored, refusals, temperature = {}, {}, classifier.bundle.temperature
    for part in ("validation", "test") if test else ("validation",):
        found = score(classifier, dataset.part(part))
        scored[part] = (found.labels, calibrate.sigmoid(found.logits, temperature))
        refusals[part] = int(found.refused.sum())
    of_copies = (copies[1], calibrate.sigmoid(_logits(classifier, copies[0]), temperature))
    if base is None:
        points = thresholds.measure({**scored, thresholds.SHIFTED: of_copies}, target_sensitivity)
    else:
        points = thresholds.measure_again(scored, _points(base, target_sensitivity))
    point = points[DEFAULT_POINT]
    metrics: dict[str, Any] = {"validation": None, "test": None}
    for part, (labels, probabilities) in scored.items():
        metrics[part] = {**evaluate(labels, probabilities, point["threshold"]), "refused": refusals[part]}
        plots.report(labels, probabilities, point["threshold"], report, part)
    metrics["validation"]["score_bins"] = score_bins(scored["validation"][1])
    return {
        "metrics": metrics,
        # One copy of each film: intervals of several would be too narrow.
        "shifted": evaluate(*(values[::DRAWS] for values in of_copies), point["threshold"]),
        "operating_points": points,
        "operating_point": {
            **{key: point[key] for key in ("threshold", "target_sensitivity", "chosen_on")},
            **{key: metrics["validation"][key] for key in ("sensitivity", "specificity")},
        },
    }


def _points(base: Bundle, target_sensitivity: float) -> Mapping[str, StoredPoint]:
    """The operating points of a bundle; an older one has DEFAULT_POINT alone."""
    older = {"target_sensitivity": target_sensitivity, **base.manifest["operating_point"]}
    points: Mapping[str, StoredPoint] = base.manifest.get("operating_points") or {DEFAULT_POINT: older}
    return points


def _logits(classifier: Classifier, pixels: np.ndarray) -> np.ndarray:
    """float64 [n] for uint8 [n, height, width, 1]."""
    return np.concatenate(
        [classifier.logits(batch.astype(np.float32)) for batch in np.array_split(pixels, max(1, len(pixels) // BATCH))]
    )
