"""The grey values of a film of more than 8 bits, for a person who sets the window: the model never sees them."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from model.images import grayscale, strips
from model.images.dicom_values import Range

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_SIDE = 2048  # pixels; a detector has up to 4300
_TOP = 65535


@dataclass(frozen=True)
class Grey16:
    """A film whose `grey` has mode "I;16", at most MAX_SIDE pixels a side.

    A grey value times `slope` plus `intercept` is the value by which a window is set: that after the modality LUT, or
    that after the VOI LUT if the film has a table or a curve for it. `centre` and `width`: the window that shows the
    film as its 8-bit picture, by the function LINEAR (PS3.3 C.11.2.1.2.1). `inverted`: low values are bright.
    """

    grey: Image.Image
    slope: float
    intercept: float
    centre: float
    width: float
    inverted: bool = False

    def shrunk(self, side: int) -> "Grey16":
        """The film with at most so many pixels a side; itself if it has no more."""
        scale = side / max(self.grey.size)
        if scale >= 1:
            return self
        width, height = (max(1, round(scale * each)) for each in self.grey.size)
        return replace(self, grey=self.grey.resize((width, height), Image.Resampling.BILINEAR))


def of_dicom(
    values: np.ndarray, dataset: "Dataset", padding: Range | None, upright: Image.Transpose | None
) -> Grey16 | None:
    """The film for stored values [rows, columns]; None if it has at most 8 bits. `padding` is black, as in the picture.

    Raises what `grayscale.to_display` raises.
    """
    if dataset.BitsStored <= 8:
        return None
    lowest, highest = int(values.min()), int(values.max())
    used = (lowest, highest) if padding is None else strips.value_range(values, *padding)
    if used is None:
        return None
    levels = np.arange(lowest, highest + 1, dtype=np.int32)
    table, film = _scaled(levels, dataset, used[0] - lowest, used[1] - lowest)
    inverted = grayscale.is_inverted(dataset)
    if padding is not None:
        table[(levels >= padding[0]) & (levels <= padding[1])] = _TOP if inverted else 0
    grey = strips.look_up(values, table, lowest)
    film = replace(film, grey=grey, inverted=inverted).shrunk(MAX_SIDE)
    return film if upright is None else replace(film, grey=film.grey.transpose(upright))


def of_png(image: Image.Image) -> Grey16 | None:
    """The film of a decoded PNG; None if it has at most 8 bits."""
    if not image.mode.startswith("I"):
        return None
    full = float(2 ** strips.depth(image))
    grey = image if image.mode == "I;16" else Image.fromarray(np.asarray(image).astype(np.uint16))
    return Grey16(grey, 1.0, 0.0, full / 2, full).shrunk(MAX_SIDE)


def _scaled(levels: np.ndarray, dataset: "Dataset", first: int, last: int) -> tuple[np.ndarray, Grey16]:
    """The grey value uint16 of each level, and a film without a picture that says what it means."""
    nothing = Image.new("I;16", (1, 1))
    modality = grayscale.modality(levels, dataset)
    window = grayscale.window(modality, dataset, first, last)
    if window is None:  # a table or a curve: its output is what the picture shows
        bright = grayscale.voi(modality, dataset, first, last)
        return np.rint(bright * (_TOP / 255)).astype(np.uint16), Grey16(nothing, 1, 0, (_TOP + 1) / 2, _TOP + 1)
    part = modality[first : last + 1]
    low, high = float(part.min()), float(part.max())
    # Stored values that differ stay different: one step is that of the rescale slope, or of the LUT.
    step = abs(float(modality[-1] - modality[0])) / (len(levels) - 1) if len(levels) > 1 else 1.0
    if dataset.get("ModalityLUTSequence") or step <= 0:
        step = max(1.0, (high - low) / _TOP)
    table = np.rint((modality - low) / step).clip(0, _TOP).astype(np.uint16)
    return table, Grey16(nothing, step, low, *window)
