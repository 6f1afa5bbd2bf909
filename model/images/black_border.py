"""Find what a black border surrounds: rows and columns at the edges of a picture that hold nearly only black."""

from typing import NamedTuple

import numpy as np
from PIL import Image

BLACK = 10  # of 255: the noise of JPEG and of scanners stays below
SHARE = 0.98  # of the pixels of a row or column of the border that are black at least
SMALLEST = 0.25  # of a side: what is left of a picture with less is not framed, but dark
_SIDE = 512  # pixels: larger pictures are shrunk first


class Box(NamedTuple):
    """A part of a picture, in shares of its width and height."""

    left: float
    top: float
    right: float
    bottom: float

    def within(self, width: int, height: int) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) in pixels of a picture of this size."""
        left, right = (round(edge * width) for edge in (self.left, self.right))
        top, bottom = (round(edge * height) for edge in (self.top, self.bottom))
        return left, top, max(right, left + 1), max(bottom, top + 1)


WHOLE = Box(0.0, 0.0, 1.0, 1.0)


def inside(grey: Image.Image) -> Box:
    """The part of a picture (mode "L") inside of its black border; the whole picture if it has none or is dark."""
    small = grey.resize((min(grey.width, _SIDE), min(grey.height, _SIDE)), Image.Resampling.BOX)
    black = np.asarray(small) <= BLACK
    top, bottom = _between(black.mean(axis=1))
    left, right = _between(black[top : max(bottom, 1)].mean(axis=0))
    height, width = black.shape
    if bottom - top < SMALLEST * height or right - left < SMALLEST * width:
        return WHOLE
    return Box(left / width, top / height, right / width, bottom / height)


def _between(shares: np.ndarray) -> tuple[int, int]:
    """The first line that is not border, and the one after the last; (0, 0) if all are border."""
    (lines,) = np.nonzero(shares < SHARE)
    return (int(lines[0]), int(lines[-1]) + 1) if len(lines) else (0, 0)
