"""Convert pixels of any mode to 8-bit grey in strips of rows, so that only the grey picture is stored as a whole."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from PIL import Image

COUNT = 64  # strips of a picture; also the side of the copy in which colour is measured
_GREY_MODES = {"1", "L", "LA", "La", "F"}
_DEPTHS = (8, 10, 12, 14, 15, 16)  # bits per value of common detectors


def to_grey(image: Image.Image) -> tuple[Image.Image, float]:
    """The picture in mode "L", and the mean spread of its channels in a copy of 64 x 64, from 0 (grey) to 1.

    Transparent pixels become black, like the air around a body. Values of more than 8 bits are scaled, not clipped.
    A picture of mode "L" is returned unchanged.
    """
    if image.mode.startswith("I"):
        return scale_depth(image), 0.0
    transparent = image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info
    if image.mode == "L" and not transparent:
        return image, 0.0
    grey = Image.new("L", image.size)
    coloured = transparent or image.mode not in _GREY_MODES
    small = np.zeros((COUNT, COUNT, 3), dtype=np.float32)
    for number, (first, last) in enumerate(rows(image.height)):
        strip = image.crop((0, first, image.width, last))
        if transparent:
            strip = strip.convert("RGBA")
            strip = Image.alpha_composite(Image.new("RGBA", strip.size, (0, 0, 0, 255)), strip)
        if coloured:
            strip = strip.convert("RGB")
            small[number] = np.asarray(strip.resize((COUNT, 1), Image.Resampling.BOX))
        grey.paste(strip.convert("L"), (0, first))
    if image.mode == "RGB" and not transparent:  # not in strips, which would change the last digit
        small = np.asarray(image.resize((COUNT, COUNT), Image.Resampling.BOX), dtype=np.float32)
    return grey, float((small.max(axis=2) - small.min(axis=2)).mean() / 255)


def rows(height: int) -> Iterator[tuple[int, int]]:
    """The first row and the row after the last one of each strip: the rows that a box filter to 64 rows combines."""
    edges = [(2 * height * strip + COUNT) // (2 * COUNT) for strip in range(COUNT + 1)]
    yield from ((first, last) for first, last in pairwise(edges) if first < last)


def scale_depth(image: Image.Image) -> Image.Image:
    """Scale unsigned values of up to 16 bits to 8 bits, mode "L".

    Full scale is the smallest common detector depth that contains the values: 12-bit values in a 16-bit PNG are common
    and would otherwise be almost black.
    """
    parts = _parts(image)
    bits = depth(image)
    levels = np.arange(2**bits, dtype=np.float32) * np.float32(255 / (2**bits - 1))
    table = np.rint(levels).clip(0, 255).astype(np.uint8)
    grey = np.empty((image.height, image.width), dtype=np.uint8)
    for part in parts:
        grey[part[1] : part[3]] = table[np.asarray(image.crop(part))]
    return Image.fromarray(grey)


def depth(image: Image.Image) -> int:
    """The bits of the smallest common detector depth that contains the unsigned values of a picture."""
    highest = max(int(np.asarray(image.crop(part)).max()) for part in _parts(image))
    return next(bits for bits in _DEPTHS if highest < 2**bits)


def _parts(image: Image.Image) -> list[tuple[int, int, int, int]]:
    return [(0, first, image.width, last) for first, last in rows(image.height)]


def look_up(values: np.ndarray, table: np.ndarray, lowest: int) -> Image.Image:
    """Map integer values [rows, columns] by a table [levels], whose first entry is for `lowest`.

    The picture has mode "L" if the table is uint8, "I;16" if it is uint16.
    """
    grey = np.empty(values.shape, dtype=table.dtype)
    for first, last in rows(len(values)):
        grey[first:last] = table[values[first:last].astype(np.intp) - lowest]
    return Image.fromarray(grey)


def value_range(values: np.ndarray, low: int, high: int) -> tuple[int, int] | None:
    """The smallest and largest integer value [rows, columns] outside of `low` to `high`, None if there is none."""
    extremes = []
    for first, last in rows(len(values)):
        strip = values[first:last]
        strip = strip[(strip < low) | (strip > high)]
        if strip.size:
            extremes += [int(strip.min()), int(strip.max())]
    return (min(extremes), max(extremes)) if extremes else None
