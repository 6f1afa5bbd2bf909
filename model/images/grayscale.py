"""Map the stored values of a radiograph to display values: modality LUT, VOI LUT or window, and polarity."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from model.images import strips
from model.images.dicom_header import word
from model.images.dicom_values import Range, with_sign
from model.images.limits import Refused

if TYPE_CHECKING:
    from pydicom import Dataset


def to_display(values: np.ndarray, dataset: "Dataset", padding: Range | None = None) -> Image.Image:
    """The grey picture, mode "L", for stored integer values [rows, columns] of up to 16 bits.

    padding: the lowest and highest value that is no part of the picture. Raises Refused if all values are padding.
    """
    lowest, highest = int(values.min()), int(values.max())
    used = (lowest, highest) if padding is None else strips.value_range(values, *padding)
    if used is None:
        raise Refused("unreadable", "the DICOM file contains only padding")
    # Every step maps single values, so it is computed once per level instead of once per pixel.
    levels = np.arange(lowest, highest + 1, dtype=np.int32)
    table = voi(modality(levels, dataset), dataset, used[0] - lowest, used[1] - lowest)
    if is_inverted(dataset):
        table = 255 - table
    table = np.rint(table).astype(np.uint8)
    if padding is not None:
        table[(levels >= padding[0]) & (levels <= padding[1])] = 0
    return strips.look_up(values, table, lowest)


def is_inverted(dataset: "Dataset") -> bool:
    """Whether low values are bright: once, even if both elements say so, as the standard requires for MONOCHROME1."""
    return (
        word(dataset, "PhotometricInterpretation") == "MONOCHROME1"
        or word(dataset, "PresentationLUTShape") == "INVERSE"
    )


@dataclass(frozen=True)
class _Table:
    """A LUT (PS3.3 C.11.1.1 and C.11.2.1.1): `entries` from the value `first` on; `bits` as its descriptor says."""

    entries: np.ndarray
    first: int
    bits: int

    def apply(self, values: np.ndarray) -> np.ndarray:
        """The entry of each value; values outside the table have its first or last one."""
        return self.entries[(np.rint(values).astype(np.int64) - self.first).clip(0, len(self.entries) - 1)]


def _table(item: "Dataset", signed: bool) -> _Table:
    """The LUT of a sequence item. Its numbers may be written as signed or unsigned; `signed`: the values that it maps.

    Entries of 8 bits are packed in bytes, or one in each word. Raises ValueError if there are not as many as described.
    """
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    count = count % 65536 or 65536
    data = item.LUTData
    if isinstance(data, bytes):
        entries = np.frombuffer(data, np.uint8 if bits <= 8 and len(data) in (count, count + count % 2) else "<u2")
    else:
        numbers = [data] if isinstance(data, int) else list(data)
        entries = np.array([with_sign(int(number), 16, False) for number in numbers], "<u2")
        if bits <= 8 and len(entries) == (count + 1) // 2 < count:  # two in each word
            entries = entries.view(np.uint8)
    if len(entries) < count:
        raise ValueError("the LUT has fewer entries than its descriptor says")
    return _Table(entries[:count].astype(np.float64), with_sign(first, 16, signed), bits)


def modality(levels: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Apply the modality LUT, or the rescale slope and intercept (PS3.3 C.11.1)."""
    if sequence := dataset.get("ModalityLUTSequence"):
        return _table(sequence[0], signed=dataset.PixelRepresentation == 1).apply(levels)
    slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
    return levels * (1.0 if slope is None else slope) + (intercept or 0.0)


def voi(levels: np.ndarray, dataset: "Dataset", first: int, last: int) -> np.ndarray:
    """Map modality values to brightness 0..255 (PS3.3 C.11.2); the picture uses levels[first] to levels[last]."""
    if _has_table(dataset):
        return _by_table(levels, dataset.VOILUTSequence[0])
    stated = _stated_window(dataset)
    if stated is None:
        low, high = _full_range(levels, dataset, first, last)
        return 255 * ((levels - low) / max(high - low, 1e-6)).clip(0, 1)
    centre, width, kind = stated
    if kind == "SIGMOID":
        return 255 / (1 + np.exp((-4 * (levels - centre) / width).clip(-500, 500)))
    if kind == "LINEAR":
        centre, width = centre - 0.5, max(width - 1, 1e-6)
    return 255 * ((levels - centre) / width + 0.5).clip(0, 1)


def window(levels: np.ndarray, dataset: "Dataset", first: int, last: int) -> tuple[float, float] | None:
    """Centre and width by which the function LINEAR shows modality values as `voi` does; None if none does."""
    stated = _stated_window(dataset)
    if _has_table(dataset) or (stated is not None and stated[2] == "SIGMOID"):
        return None
    if stated is None:
        low, high = _full_range(levels, dataset, first, last)
        return (low + high + 1) / 2, high - low + 1
    centre, width, kind = stated
    return (centre, width) if kind == "LINEAR" else (centre + 0.5, width + 1)


def _has_table(dataset: "Dataset") -> bool:
    sequence = dataset.get("VOILUTSequence")
    return bool(sequence and sequence[0].get("LUTDescriptor") and sequence[0].get("LUTData"))


def _stated_window(dataset: "Dataset") -> tuple[float, float, str] | None:
    """The first window of the header and its function; None if it states none that can be used."""
    centre, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    kind = word(dataset, "VOILUTFunction") or "LINEAR"
    if centre is None or width is None or width < (1 if kind == "LINEAR" else 1e-6):
        return None
    return centre, width, kind


def _by_table(levels: np.ndarray, item: "Dataset") -> np.ndarray:
    table = _table(item, signed=bool(levels.min() < 0))
    bright, top = table.apply(levels), 2.0**table.bits - 1
    # Some devices declare another depth than that of their table: then its highest entry is white.
    highest = table.entries.max()
    top = top if top / 2 < highest <= top else max(highest, 1)
    return 255 * bright / top


def _full_range(levels: np.ndarray, dataset: "Dataset", first: int, last: int) -> tuple[float, float]:
    """The values that are black and white: the lowest and the highest; 8-bit ones are display values."""
    low, high = sorted((float(levels[first]), float(levels[last])))
    rescaled = (_number(dataset, "RescaleSlope") or 1) != 1 or (_number(dataset, "RescaleIntercept") or 0) != 0
    plain = not rescaled and not dataset.get("ModalityLUTSequence")
    if dataset.BitsStored == 8 and dataset.PixelRepresentation == 0 and plain:
        low, high = 0.0, 255.0
    return low, high


def _number(dataset: "Dataset", keyword: str) -> float | None:
    """The first value of a header number; some devices write a decimal comma. None if it is missing or not finite."""
    value = dataset.get(keyword)
    if isinstance(value, list | tuple) or hasattr(value, "append"):  # pydicom's MultiValue
        value = value[0] if len(value) else None
    if value is None or value == "":
        return None
    number = float(str(value).replace(",", "."))
    return number if math.isfinite(number) else None
