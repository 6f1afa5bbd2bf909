"""Cover parts of a picture one after another and measure how the score changes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from model.heat_map_section import GRID
from model.images.black_border import inside
from model.images.decode import to_input

if TYPE_CHECKING:
    from model.serving.predict import Classifier


@dataclass(frozen=True)
class Cells:
    """An input of the network, float32 [height, width, 1], whose part inside of a black border is cut into cells.

    rows, columns: the edges of the cells in pixels, int [grid + 1]; cells are counted row by row.
    """

    pixels: np.ndarray
    rows: np.ndarray
    columns: np.ndarray

    @property
    def grid(self) -> int:
        """The number of cells in a row or column."""
        return len(self.rows) - 1

    def covered(self, chosen: Iterable[int]) -> np.ndarray:
        """The input with some cells covered, with the mean brightness of what is not border."""
        copy = self.pixels.copy()
        cover = self.pixels[self.rows[0] : self.rows[-1], self.columns[0] : self.columns[-1]].mean()
        for cell in chosen:
            row, column = divmod(cell, self.grid)
            copy[self.rows[row] : self.rows[row + 1], self.columns[column] : self.columns[column + 1]] = cover
        return copy


def cells(grey: Image.Image, height: int, width: int, grid: int = GRID) -> Cells:
    """Cut the input of a network into cells. Raises ValueError if the grid is finer than the input."""
    if not 1 <= grid <= min(height, width):
        raise ValueError(f"a grid of {grid} does not fit an input of {height} x {width}")
    left, top, right, bottom = inside(grey).within(width, height)
    rows = np.linspace(top, bottom, grid + 1).astype(int)
    columns = np.linspace(left, right, grid + 1).astype(int)
    return Cells(to_input(grey, height, width), rows, columns)


def occlusion(classifier: "Classifier", grey: Image.Image, grid: int = GRID) -> np.ndarray:
    """How much the logit drops if a cell is covered: float32 [grid, grid], positive if the cell increases the score.

    Occlusion sensitivity (Zeiler & Fergus 2014). It needs only the output of the network, so it works for every bundle.
    All cells are scored in one run. Raises ValueError if the grid is finer than the input of the network, and
    ArithmeticError if an output is not finite.
    """
    bundle = classifier.bundle
    return drops(classifier, cells(grey, bundle.height, bundle.width, grid))


def drops(classifier: "Classifier", cut: Cells) -> np.ndarray:
    """The map of an input that is cut into cells, like `occlusion`."""
    count = cut.grid**2
    logits = classifier.logits(np.stack([cut.covered([cell]) for cell in range(count)] + [cut.pixels]))
    if not np.isfinite(logits).all():
        raise ArithmeticError("the output of the network is not finite")
    return (logits[-1] - logits[:-1]).reshape(cut.grid, cut.grid).astype(np.float32)
