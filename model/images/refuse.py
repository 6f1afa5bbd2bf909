"""Refuse pictures that do not look like the chest X-rays of the training set, by simple statistics.

The statistics are brightness, contrast, fine and coarse edges, symmetry, colour and the brightness of 8 x 8 cells.
The squared Mahalanobis distance (Mahalanobis 1936) of a picture from the training pictures must not exceed a limit.
This refuses photographs, documents and most other body parts. It does not prove that a picture is a chest X-ray.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from model.images.decode import Picture, to_input
from model.images.limits import Refused

SIDE = 128  # pixels of the copy from which statistics are computed
MAP = 8  # cells per side of the brightness map
COLOUR_LIMIT = 0.05  # mean channel spread; grey X-rays in colour files are below 0.01
MARGIN = 1.5  # factor on the distance within which 99.9 % of the training pictures are
_QUANTILE = 0.999
_SHRINK = 0.02  # shrinkage of the correlation matrix, so that it is invertible although neighbouring cells correlate
_MIN_SPREAD = 0.01  # so that rounding errors of a statistic that did not vary in training do not refuse a picture
# The shares of black and of white are left out: clipped films are common elsewhere, but absent in the training set.
# With these shares 62 of 105 training films brightened by 30 % were refused, without them none, and no unsuitable
# picture was accepted because of that.
_PLAIN = (
    "mean",
    "spread",
    "entropy",
    "fine_edges",
    "coarse_edges",
    "edge_scale",
    "edge_direction",
    "mirror_symmetry",
    "colourful",
)
NAMES = (*_PLAIN, *(f"cell_{row}_{column}" for row in range(MAP) for column in range(MAP)))


def statistics(grey: Image.Image, colourful: float) -> np.ndarray:
    """The statistics of a picture (mode "L", any size), float64 [len(NAMES)] in the order of NAMES."""
    pixels = to_input(grey, SIDE, SIDE)[:, :, 0].astype(np.float64)
    light = pixels / 255
    shares = np.histogram(pixels, bins=64, range=(0, 256))[0] / pixels.size
    shares = shares[shares > 0]
    down, across = _edges(light)
    coarse = sum(_edges(_cells(light, SIDE // 4)))
    centred = light - light.mean()
    plain = [
        light.mean(),
        light.std(),
        -(shares * np.log2(shares)).sum(),
        np.log(down + across),
        np.log(coarse),
        np.log((down + across) / coarse),
        np.log(down / across),
        (centred * centred[:, ::-1]).sum() / ((centred**2).sum() + 1e-6),
        colourful,
    ]
    cells = _cells(light, MAP).ravel()
    cells = (cells - cells.mean()) / (cells.std() + 0.02)
    return np.concatenate([plain, cells])


def fit(matrix: np.ndarray) -> dict[str, Any]:
    """The "refusal" section of a bundle, from the statistics of the training pictures, float [n, len(NAMES)].

    The limit is MARGIN times the 99.9 % quantile of their distances; it is larger for few pictures, whose distances
    underestimate those of new pictures. Raises ValueError for another shape or non-finite values.
    """
    count, width = matrix.shape
    if width != len(NAMES) or count < 2 or not np.isfinite(matrix).all():
        raise ValueError(f"expected at least 2 rows of {len(NAMES)} finite statistics, got {matrix.shape}")
    mean = matrix.mean(axis=0)
    spread = np.maximum(matrix.std(axis=0), _MIN_SPREAD)
    scaled = (matrix - mean) / spread
    share = max(_SHRINK, width / (width + count))
    correlation = (1 - share) * (scaled.T @ scaled / count) + share * np.eye(width)
    precision = np.linalg.inv(correlation) / np.outer(spread, spread)
    model: dict[str, Any] = {"names": list(NAMES), "mean": _rounded(mean), "precision": _rounded(precision)}
    distances = np.array([_squared_distance(row, model) for row in matrix])
    model["limit"] = float(np.quantile(distances, _QUANTILE) * MARGIN * (1 + width / count))
    return model


def distance(picture: Picture, model: Mapping[str, Any]) -> float:
    """The squared Mahalanobis distance of a picture from the training pictures. model: "refusal" of a bundle."""
    return _squared_distance(statistics(picture.grey, picture.colourful), model)


def check(picture: Picture, model: Mapping[str, Any]) -> float:
    """The squared distance of a picture. Raises Refused("not_an_xray", ..) for colours, or if it exceeds the limit."""
    if picture.colourful > COLOUR_LIMIT:
        raise Refused("not_an_xray", "the picture has colours; an X-ray is grey")
    squared = distance(picture, model)
    if not squared <= model["limit"]:  # a NaN refuses, too
        raise Refused("not_an_xray", "the picture does not look like a frontal chest X-ray")
    return squared


def _edges(light: np.ndarray) -> tuple[float, float]:
    """The mean absolute difference between neighbouring rows and between neighbouring columns, never 0."""
    down = np.abs(np.diff(light, axis=0)).mean()
    across = np.abs(np.diff(light, axis=1)).mean()
    return float(down) + 1e-4, float(across) + 1e-4


def _cells(light: np.ndarray, count: int) -> np.ndarray:
    """Mean brightness of count x count equal cells."""
    side = light.shape[0] // count
    return light.reshape(count, side, count, side).mean(axis=(1, 3))


def _squared_distance(values: np.ndarray, model: Mapping[str, Any]) -> float:
    difference = values - np.asarray(model["mean"])
    return float(difference @ np.asarray(model["precision"]) @ difference)


def _rounded(values: np.ndarray) -> Any:
    """Nested lists of numbers with 7 significant digits, which keeps bundle.json small."""
    if values.ndim > 1:
        return [_rounded(row) for row in values]
    return [float(f"{value:.7g}") for value in values]
