"""Refuse pictures that do not look like the chest X-rays of the training set, by simple statistics.

A picture is described by brightness, contrast, fine and coarse edges, symmetry, colour and a map of 8 x 8
brightnesses; its squared Mahalanobis distance (Mahalanobis 1936) from the training pictures is compared with a
limit. That catches photographs, documents and most other body parts. It is no proof of a chest X-ray.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from model.images.decode import Picture, to_input
from model.images.limits import Refused

SIDE = 128  # pixels of the copy that is described
MAP = 8  # cells of the brightness map along a side
COLOUR_LIMIT = 0.05  # mean channel spread; grey X-rays in colour files stay below 0.01
MARGIN = 1.5  # times the distance that 99.9 % of the training pictures keep
_QUANTILE = 0.999
_SHRINK = 0.02  # of the correlations towards none, so that neighbouring cells stay invertible
_LEAST_SPREAD = 0.01  # a statistic that never varied in training must not refuse by rounding
# Not among them: the shares of black and of white. Films with clipped ends are common elsewhere and absent in the
# training set; with the two shares 62 of 105 training films brightened by 30 % were refused, without them none,
# and nothing else was missed for it.
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
    """Describe a picture (mode "L", any size) by float64 [len(NAMES)], in the order of NAMES."""
    pixels = to_input(grey, SIDE, SIDE)[:, :, 0].astype(np.float64)
    light = pixels / 255
    shares = np.histogram(pixels, bins=64, range=(0, 256))[0] / pixels.size
    shares = shares[shares > 0]
    down, across = _edges(light)
    coarse = sum(_edges(_cells(light, SIDE // 4)))
    around = light - light.mean()
    plain = [
        light.mean(),
        light.std(),
        -(shares * np.log2(shares)).sum(),
        np.log(down + across),
        np.log(coarse),
        np.log((down + across) / coarse),
        np.log(down / across),
        (around * around[:, ::-1]).sum() / ((around**2).sum() + 1e-6),
        colourful,
    ]
    cells = _cells(light, MAP).ravel()
    cells = (cells - cells.mean()) / (cells.std() + 0.02)
    return np.concatenate([plain, cells])


def fit(matrix: np.ndarray) -> dict[str, Any]:
    """The "refusal" block of a bundle from the training pictures' statistics, float [n, len(NAMES)].

    The limit is MARGIN times the distance that 99.9 % of these pictures keep; few pictures widen it, because
    their own distances are then too small a guide. Raises ValueError on another shape or non-finite values.
    """
    count, width = matrix.shape
    if width != len(NAMES) or count < 2 or not np.isfinite(matrix).all():
        raise ValueError(f"expected at least 2 rows of {len(NAMES)} finite statistics, got {matrix.shape}")
    mean = matrix.mean(axis=0)
    spread = np.maximum(matrix.std(axis=0), _LEAST_SPREAD)
    scaled = (matrix - mean) / spread
    share = max(_SHRINK, width / (width + count))
    correlation = (1 - share) * (scaled.T @ scaled / count) + share * np.eye(width)
    precision = np.linalg.inv(correlation) / np.outer(spread, spread)
    block: dict[str, Any] = {"names": list(NAMES), "mean": _digits(mean), "precision": _digits(precision)}
    distances = np.array([_squared(row, block) for row in matrix])
    block["limit"] = float(np.quantile(distances, _QUANTILE) * MARGIN * (1 + width / count))
    return block


def distance(picture: Picture, block: Mapping[str, Any]) -> float:
    """Squared Mahalanobis distance of a picture from the training pictures of a "refusal" block."""
    return _squared(statistics(picture.grey, picture.colourful), block)


def check(picture: Picture, block: Mapping[str, Any]) -> None:
    """Raise Refused("not_an_xray", ..) when the picture has colours or lies outside the block's limit."""
    if picture.colourful > COLOUR_LIMIT:
        raise Refused("not_an_xray", "the picture has colours; an X-ray is grey")
    # Written so that a distance that is no number refuses as well.
    if not distance(picture, block) <= block["limit"]:
        raise Refused("not_an_xray", "the picture does not look like a frontal chest X-ray")


def _edges(light: np.ndarray) -> tuple[float, float]:
    """Mean absolute step from row to row and from column to column, never 0."""
    down = np.abs(np.diff(light, axis=0)).mean()
    across = np.abs(np.diff(light, axis=1)).mean()
    return float(down) + 1e-4, float(across) + 1e-4


def _cells(light: np.ndarray, count: int) -> np.ndarray:
    """Mean brightness of count x count equal cells."""
    side = light.shape[0] // count
    return light.reshape(count, side, count, side).mean(axis=(1, 3))


def _squared(values: np.ndarray, block: Mapping[str, Any]) -> float:
    away = values - np.asarray(block["mean"])
    return float(away @ np.asarray(block["precision"]) @ away)


def _digits(values: np.ndarray) -> Any:
    """Nested lists with 7 significant digits: more would only make bundle.json longer."""
    if values.ndim > 1:
        return [_digits(row) for row in values]
    return [float(f"{value:.7g}") for value in values]
