"""Show which parts of a picture moved the score, by covering one after another."""

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from model.images.decode import to_input

if TYPE_CHECKING:
    from model.serving.predict import Classifier

MAX_SIDE = 1024  # pixels of an overlay: the map is coarse, more would only make a larger file
_FOR = np.array([230, 60, 30], dtype=np.float32)  # speaks for pneumonia
_AGAINST = np.array([40, 110, 230], dtype=np.float32)
_STRENGTH = 0.55  # of the colour where the effect is largest, so that the picture stays readable below


def occlusion(classifier: "Classifier", grey: Image.Image, grid: int = 8) -> np.ndarray:
    """How far the logit drops when a cell is covered: float32 [grid, grid], positive where it speaks for pneumonia.

    Occlusion sensitivity (Zeiler & Fergus 2014), with the picture's mean brightness as cover. It asks nothing of
    the network but its output, so it works for every bundle. All cells go through one run.
    Raises ValueError when the grid is finer than the network's input.
    """
    bundle = classifier.bundle
    if not 1 <= grid <= min(bundle.height, bundle.width):
        raise ValueError(f"a grid of {grid} does not fit an input of {bundle.height} x {bundle.width}")
    pixels = to_input(grey, bundle.height, bundle.width)
    batch = np.repeat(pixels[np.newaxis], grid * grid + 1, axis=0)
    rows = np.linspace(0, bundle.height, grid + 1).astype(int)
    columns = np.linspace(0, bundle.width, grid + 1).astype(int)
    cover = pixels.mean()
    for row in range(grid):
        for column in range(grid):
            cell = np.s_[rows[row] : rows[row + 1], columns[column] : columns[column + 1]]
            batch[row * grid + column][cell] = cover
    logits = classifier.logits(batch)
    return (logits[-1] - logits[:-1]).reshape(grid, grid).astype(np.float32)


def overlay(grey: Image.Image, heat: np.ndarray) -> Image.Image:
    """Lay a map over its picture, mode "RGB", at most MAX_SIDE pixels a side.

    Red speaks for pneumonia, blue against it; the strongest cell has full colour, so two maps compare in place
    but not in strength.
    """
    picture = grey.copy()
    picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BILINEAR)
    strongest = float(np.abs(heat).max())
    if not np.isfinite(strongest) or strongest < 1e-6:
        return picture.convert("RGB")
    scaled = Image.fromarray((heat / strongest).astype(np.float32))
    effect = np.asarray(scaled.resize(picture.size, Image.Resampling.BICUBIC)).clip(-1, 1)[:, :, np.newaxis]
    share = _STRENGTH * np.abs(effect)
    base = np.asarray(picture, dtype=np.float32)[:, :, np.newaxis]
    mixed = (1 - share) * base + share * np.where(effect > 0, _FOR, _AGAINST)
    return Image.fromarray(np.rint(mixed).clip(0, 255).astype(np.uint8))
