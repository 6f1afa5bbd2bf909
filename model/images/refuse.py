"""Refuse pictures that do not look like the chest X-rays of the training set, by simple statistics.

The statistics are brightness, contrast, fine and coarse edges, symmetry, colour and the brightness of 8 x 8 cells.
The squared Mahalanobis distance (Mahalanobis 1936) of a picture from the training pictures must not exceed a limit,
nor must the score of a small classifier, which tells films from turned, cut or badly exposed copies and from drawings
of other parts. model/bundling/refusal.py fits both. This does not prove that a picture is a chest X-ray.
"""

import binascii
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from PIL import Image

from model.images.decode import Picture, resize
from model.images.limits import Refused

SIDE = 128  # pixels of the copy from which statistics are computed
MAP = 8  # cells per side of the brightness map
COLOUR_LIMIT = 0.05  # mean channel spread; grey X-rays in colour files are below 0.01
CLIP = 8.0  # standard deviations at which the inputs of the classifier end
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


@dataclass(frozen=True)
class Appearance:
    """How an accepted picture looks: its squared distance from the training pictures, and its exposure (0 to 1)."""

    distance: float
    mean: float  # brightness
    spread: float  # contrast, the standard deviation of the brightness
    black: float  # the share of black pixels
    white: float  # the share of white pixels


def statistics(grey: Image.Image, colourful: float) -> np.ndarray:
    """The statistics of a picture (mode "L", any size), float64 [len(NAMES)] in the order of NAMES."""
    small = resize(grey, SIDE, SIDE)
    return _statistics(small, _counts(small), colourful)


def _counts(small: Image.Image) -> np.ndarray:
    """How many pixels have each of the values 0 to 255, int64 [256]."""
    return np.array(small.histogram())


def _statistics(small: Image.Image, counts: np.ndarray, colourful: float) -> np.ndarray:
    """The statistics of a picture of SIDE x SIDE pixels. Sums are of whole numbers: fast and exact."""
    pixels = np.asarray(small).astype(np.int16)
    values = np.arange(256)
    mean = counts @ values / pixels.size
    squares = counts @ (values - mean) ** 2
    shares = counts.reshape(64, 4).sum(axis=1) / pixels.size
    shares = shares[shares > 0]
    down, across = _edges(pixels)
    coarse_cells = _cells(pixels, SIDE // 4)
    coarse = sum(_edges(coarse_cells))
    centred = pixels - mean
    plain = [
        mean / 255,
        np.sqrt(squares / pixels.size) / 255,
        -(shares * np.log2(shares)).sum(),
        np.log(down + across),
        np.log(coarse),
        np.log((down + across) / coarse),
        np.log(down / across),
        (centred * centred[:, ::-1]).sum() / (squares + 255**2 * 1e-6),
        colourful,
    ]
    cells = _cells(coarse_cells, MAP).ravel() / 255
    cells = (cells - cells.mean()) / (cells.std() + 0.02)
    return np.concatenate([plain, cells])


def score(values: np.ndarray, classifier: Mapping[str, Any]) -> np.ndarray:
    """The classifier's score of statistics; the higher, the less they are those of a whole and upright chest film.

    values: [.., len(NAMES)]; the scores are [..]. classifier: "classifier" of `with_arrays`, a perceptron with ReLU
    between its layers.
    """
    layer = np.clip((values - classifier["mean"]) / classifier["spread"], -CLIP, CLIP)
    *hidden, last = zip(classifier["weights"], classifier["biases"], strict=True)
    for weights, bias in hidden:
        layer = np.maximum(layer @ weights + bias, 0)
    return (layer @ last[0] + last[1])[..., 0]


def check(picture: Picture, model: Mapping[str, Any], resized: Image.Image) -> Appearance:
    """The appearance of a picture. Raises Refused("not_an_xray", ..) for colours, or beyond a limit.

    resized: the picture in the size of the network's input, of which the statistics are computed, so that a large
    picture is reduced once. In older bundles ("of_input" is missing) they are those of the picture itself.
    """
    if picture.colourful > COLOUR_LIMIT:
        raise Refused("not_an_xray", "the picture has colours; an X-ray is grey")
    small = resize(resized if model.get("of_input") else picture.grey, SIDE, SIDE)
    counts = _counts(small)
    values = _statistics(small, counts, picture.colourful)
    squared = _squared_distance(values, model)
    if not squared <= model["limit"]:  # a NaN refuses, too
        raise Refused("not_an_xray", "the picture does not look like a frontal chest X-ray")
    classifier = model.get("classifier")
    if classifier is not None and not score(values, classifier) <= classifier["limit"]:
        raise Refused(
            "not_an_xray", "the picture does not look like a whole, upright, well exposed frontal chest X-ray"
        )
    mean, spread = (float(values[NAMES.index(name)]) for name in ("mean", "spread"))
    black, white = (float(counts[value] / counts.sum()) for value in (0, 255))
    return Appearance(squared, mean, spread, black, white)


def with_arrays(model: Mapping[str, Any]) -> dict[str, Any]:
    """The section "refusal" of a bundle with arrays in place of lists and texts, as `check` needs it.

    It is made once: converting the lists for every picture takes longer than the check.
    """
    arrays = {**model, "mean": np.asarray(model["mean"]), "precision": np.asarray(model["precision"])}
    classifier = model.get("classifier")
    if classifier is not None:
        sizes = list(itertools.pairwise(classifier["layers"]))
        arrays["classifier"] = {
            **classifier,
            "mean": np.asarray(classifier["mean"]),
            "spread": np.asarray(classifier["spread"]),
            "weights": [_unpacked(text).reshape(size) for text, size in zip(classifier["weights"], sizes, strict=True)],
            "biases": [_unpacked(text) for text in classifier["biases"]],
        }
    return arrays


def packed(values: np.ndarray) -> str:
    """The base64 of values as float32, which is how a bundle holds the classifier's tables."""
    return binascii.b2a_base64(values.astype("<f4").tobytes(), newline=False).decode()


def _unpacked(text: str) -> np.ndarray:
    return np.frombuffer(binascii.a2b_base64(text), "<f4").astype(np.float64)


def _edges(pixels: np.ndarray) -> tuple[float, float]:
    """The mean absolute difference between neighbouring rows and between neighbouring columns, from 0 to 1, never 0.

    pixels: whole numbers, or sixteenths of them: their sums are exact in any order.
    """
    down, across = (
        _mean_size(steps) / 255 + 1e-4 for steps in (pixels[1:] - pixels[:-1], pixels[:, 1:] - pixels[:, :-1])
    )
    return down, across


def _mean_size(steps: np.ndarray) -> float:
    """The mean of the absolute values, which replace `steps`."""
    kind = np.int32 if steps.dtype == np.int16 else steps.dtype  # faster than the int64 of `mean`
    return float(np.add.reduce(np.abs(steps, out=steps), axis=None, dtype=kind)) / steps.size


def _cells(pixels: np.ndarray, count: int) -> np.ndarray:
    """Mean brightness of count x count equal cells, float64 from 0 to 255."""
    side = pixels.shape[0] // count
    rows = reduce(np.add, (pixels[start::side] for start in range(side)))
    return reduce(np.add, (rows[:, start::side] for start in range(side))) / side**2


def _squared_distance(values: np.ndarray, model: Mapping[str, Any]) -> float:
    difference = values - np.asarray(model["mean"])
    return float(difference @ np.asarray(model["precision"]) @ difference)
