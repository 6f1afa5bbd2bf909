"""Explain a score: cover parts of the picture one after another and measure how the score changes."""

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from model.images.decode import to_input

if TYPE_CHECKING:
    from model.serving.predict import Classifier

MAX_SIDE = 1024  # pixels of an overlay; the map is coarse, so more would only enlarge the file
_FOR = np.array([230, 60, 30], dtype=np.float32)  # increases the score
_AGAINST = np.array([40, 110, 230], dtype=np.float32)
_STRENGTH = 0.55  # largest opacity of the colour, so that the picture stays visible


def occlusion(classifier: "Classifier", grey: Image.Image, grid: int = 8) -> np.ndarray:
    """How much the logit drops if a cell is covered: float32 [grid, grid], positive if the cell increases the score.

    Occlusion sensitivity (Zeiler & Fergus 2014); cells are covered with the mean brightness of the picture. It needs
    only the output of the network, so it works for every bundle. All cells are scored in one run.
    Raises ValueError if the grid is finer than the input of the network.
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
    """Draw a map over its picture; returns mode "RGB" with at most MAX_SIDE pixels per side.

    Red cells increase the score, blue ones decrease it. The strongest cell has full colour, so that maps of two
    pictures can be compared by location, but not by strength.
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
