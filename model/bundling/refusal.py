"""Fit the section "refusal" of a bundle: limits of the distance, and a classifier of unsuitable pictures.

The limits are chosen on the validation part. What is refused there is measured by kind of copy.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from model.bundling import copies
from model.data.dataset import DataSet
from model.evaluation.intervals import proportion
from model.images import refuse
from model.images.altered_films import HARMLESS, UNSUITABLE, harmless
from model.refusal_section import EXPOSURE

LEAST_TRAINING, LEAST_VALIDATION = 500, 100  # films below which there is no classifier
# The least limit of the distance: this factor on the distance of 99.9 % of the training films. Without it, twice as
# many harmless copies of Kermany's validation films are refused (.0096, not .0054), and as many unsuitable ones (.985).
MARGIN, MARGIN_QUANTILE = 1.5, 0.999
QUANTILE = 0.995  # of validation films and their harmless copies lie within each limit of refusal
CAUTION_QUANTILE = 0.95  # of the distances of validation films lie within the limit of the caution
HIDDEN, EPOCHS = 64, 25  # units of the classifier's hidden layer, passes over the copies
EXPOSURE_QUANTILES = (0.005, 0.995)  # of validation films, outside of which a picture has a caution
_SHRINK = 0.02  # shrinkage of the correlation matrix, so that it is invertible although neighbouring cells correlate
_MIN_SPREAD = 0.01  # so that rounding errors of a statistic that did not vary in training do not refuse a picture
DRAWINGS = {"train": range(1_010_000, 1_011_000), "validation": range(1_020_000, 1_020_500)}  # seeds


def fit(dataset: DataSet, seed: int, size: tuple[int, int]) -> dict[str, Any]:
    """The section of a bundle, from the training and validation films. The same arguments give the same section.

    size: (height, width) of the network's input.
    """
    train, validation = dataset.part("train"), dataset.part("validation")
    matrix = copies.films(train, size)
    section = by_distance(matrix) | {"of_input": True}
    if len(train) < LEAST_TRAINING or len(validation) < LEAST_VALIDATION:
        return section
    good, bad = copies.of_training(train, seed, size)
    drawn, drawn_bad = copies.of_drawings(DRAWINGS["train"], size)
    suitable, unsuitable = np.concatenate([matrix, good, drawn]), np.concatenate([bad, drawn_bad])
    section["classifier"] = train_classifier(suitable, unsuitable, seed)
    films = copies.films(validation, size)
    accepted = copies.by_kind(validation, {**HARMLESS, copies.SEVERAL: harmless}, seed, size)
    section |= limits(films, np.concatenate([films, *accepted.values()]), section)
    section["exposure"] = exposure(films)
    groups = {"harmless": accepted, "unsuitable": copies.by_kind(validation, UNSUITABLE, seed, size)}
    section["measured"] = {
        "films": _refused(films, section),
        "drawings": _refused(copies.of_drawings(DRAWINGS["validation"], size)[0], section),
        **{group: {kind: _refused(rows, section) for kind, rows in kinds.items()} for group, kinds in groups.items()},
    }
    return section


def by_distance(matrix: np.ndarray) -> dict[str, Any]:
    """The section without a classifier, from the statistics of the training films, float [n, len(refuse.NAMES)].

    The limit is MARGIN times the 99.9 % quantile of their distances; it is larger for few pictures, whose distances
    underestimate those of new pictures. Raises ValueError for another shape or non-finite values.
    """
    count, width = matrix.shape
    if width != len(refuse.NAMES) or count < 2 or not np.isfinite(matrix).all():
        raise ValueError(f"expected at least 2 rows of {len(refuse.NAMES)} finite statistics, got {matrix.shape}")
    mean = matrix.mean(axis=0)
    spread = np.maximum(matrix.std(axis=0), _MIN_SPREAD)
    scaled = (matrix - mean) / spread
    share = max(_SHRINK, width / (width + count))
    correlation = (1 - share) * (scaled.T @ scaled / count) + share * np.eye(width)
    precision = np.linalg.inv(correlation) / np.outer(spread, spread)
    section: dict[str, Any] = {"names": list(refuse.NAMES), "mean": _rounded(mean), "precision": _rounded(precision)}
    section["limit"] = float(np.quantile(distances(matrix, section), MARGIN_QUANTILE) * MARGIN * (1 + width / count))
    return section


def train_classifier(suitable: np.ndarray, unsuitable: np.ndarray, seed: int) -> dict[str, Any]:
    """The classifier of a section, without its limit: a perceptron with one hidden layer on scaled statistics."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    mean, spread = suitable.mean(axis=0), np.maximum(suitable.std(axis=0), _MIN_SPREAD)
    rows = np.clip((np.concatenate([suitable, unsuitable]) - mean) / spread, -refuse.CLIP, refuse.CLIP)
    labels = np.repeat([0, 1], [len(suitable), len(unsuitable)])
    network = MLPClassifier((HIDDEN,), alpha=0.01, batch_size=256, max_iter=EPOCHS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # more passes refuse no more of the validation copies
        network.fit(rows, labels)
    return {
        "mean": _rounded(mean),
        "spread": _rounded(spread),
        "layers": [len(mean), HIDDEN, 1],
        "weights": [refuse.packed(table) for table in network.coefs_],
        "biases": [refuse.packed(bias) for bias in network.intercepts_],
    }


def limits(films: np.ndarray, accepted: np.ndarray, section: Mapping[str, Any]) -> dict[str, Any]:
    """The limits of the distance, and the classifier with its limit.

    films: statistics of validation films; accepted: of these and of their harmless copies.
    """
    return {
        "limit": max(section["limit"], float(np.quantile(distances(accepted, section), QUANTILE))),
        "caution_limit": float(np.quantile(distances(films, section), CAUTION_QUANTILE)),
        "classifier": {
            **section["classifier"],
            "limit": float(np.quantile(scores(accepted, section), QUANTILE)),
        },
    }


def exposure(films: np.ndarray) -> dict[str, list[float]]:
    """The brightness and the contrast of nearly all validation films, as [low, high]."""
    columns = {name: films[:, refuse.NAMES.index(name)] for name in EXPOSURE}
    return {name: _rounded(np.quantile(values, EXPOSURE_QUANTILES)) for name, values in columns.items()}


def distances(matrix: np.ndarray, section: Mapping[str, Any]) -> np.ndarray:
    """The squared distances of rows of statistics."""
    away = matrix - np.asarray(section["mean"])
    return np.einsum("ni,ij,nj->n", away, np.asarray(section["precision"]), away)


def scores(matrix: np.ndarray, section: Mapping[str, Any]) -> np.ndarray:
    """The classifier's scores of rows of statistics."""
    return refuse.score(matrix, refuse.with_arrays(section)["classifier"])


def _refused(matrix: np.ndarray, section: Mapping[str, Any]) -> dict[str, float | int] | None:
    far = distances(matrix, section) > section["limit"]
    refused = far | (scores(matrix, section) > section["classifier"]["limit"])
    return proportion(int(refused.sum()), len(matrix))


def _rounded(values: np.ndarray) -> Any:
    """Nested lists of numbers with 7 significant digits, which keeps bundle.json small."""
    if values.ndim > 1:
        return [_rounded(row) for row in values]
    return [float(f"{value:.7g}") for value in values]
