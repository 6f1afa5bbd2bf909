"""Map the stored values of a radiograph to display values: modality LUT, VOI LUT or window, and polarity."""

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from model.images import strips
from model.images.limits import Refused

if TYPE_CHECKING:
    from pydicom import Dataset


def to_display(values: np.ndarray, dataset: "Dataset") -> Image.Image:
    """The grey picture, mode "L", for stored integer values [rows, columns] of up to 16 bits.

    Raises Refused if all values are padding.
    """
    lowest, highest = int(values.min()), int(values.max())
    padding = _padding(dataset)
    used = (lowest, highest) if padding is None else strips.value_range(values, *padding)
    if used is None:
        raise Refused("unreadable", "the DICOM file contains only padding")
    # Every step maps single values, so it is computed once per level instead of once per pixel.
    levels = np.arange(lowest, highest + 1, dtype=np.int32)
    table = _voi(_modality(levels, dataset), dataset, used[0] - lowest, used[1] - lowest)
    polarity = header_word(dataset, "PhotometricInterpretation"), header_word(dataset, "PresentationLUTShape")
    if polarity[0] == "MONOCHROME1" or polarity[1] == "INVERSE":
        table = 255 - table  # once, even if both say so, as the standard requires for MONOCHROME1
    table = np.rint(table).astype(np.uint8)
    if padding is not None:
        table[(levels >= padding[0]) & (levels <= padding[1])] = 0
    return strips.look_up(values, table, lowest)


def header_word(dataset: "Dataset", keyword: str) -> str:
    """A header value as an upper-case word, "" if it is missing."""
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip().upper()


def _padding(dataset: "Dataset") -> tuple[int, int] | None:
    """The lowest and highest padding value (PS3.3 C.7.5.1.1.2), None if none is declared."""
    first = dataset.get("PixelPaddingValue")
    if not isinstance(first, int):
        return None
    last = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((first, last if isinstance(last, int) else first))
    return low, high


def _modality(levels: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Apply the modality LUT, or the rescale slope and intercept (PS3.3 C.11.1)."""
    from pydicom.pixels import apply_modality_lut

    return apply_modality_lut(levels, dataset)


def _voi(levels: np.ndarray, dataset: "Dataset", first: int, last: int) -> np.ndarray:
    """Map modality values to brightness 0..255 (PS3.3 C.11.2); the picture uses levels[first] to levels[last]."""
    sequence = dataset.get("VOILUTSequence")
    if sequence and sequence[0].get("LUTDescriptor") and sequence[0].get("LUTData"):
        return _by_table(levels, dataset)
    centre, width = _first_number(dataset, "WindowCenter"), _first_number(dataset, "WindowWidth")
    kind = header_word(dataset, "VOILUTFunction") or "LINEAR"
    if centre is None or width is None or width < (1 if kind == "LINEAR" else 1e-6):
        return _full_range(levels, dataset, first, last)
    if kind == "SIGMOID":
        return 255 / (1 + np.exp((-4 * (levels - centre) / width).clip(-500, 500)))
    if kind == "LINEAR":
        centre, width = centre - 0.5, max(width - 1, 1e-6)
    return 255 * ((levels - centre) / width + 0.5).clip(0, 1)


def _by_table(levels: np.ndarray, dataset: "Dataset") -> np.ndarray:
    from pydicom.pixels import apply_voi

    bright = apply_voi(np.rint(levels).astype(np.int32), dataset).astype(np.float64)
    top = 2 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
    # Some devices declare another depth than that of their table: then its highest entry is white.
    top = top if top / 2 < bright.max() <= top else max(bright.max(), 1)
    return 255 * bright / top


def _full_range(levels: np.ndarray, dataset: "Dataset", first: int, last: int) -> np.ndarray:
    """Map the lowest value to black and the highest to white; 8-bit values without rescaling are display values."""
    low, high = sorted((float(levels[first]), float(levels[last])))
    rescaled = float(dataset.get("RescaleSlope") or 1) != 1 or float(dataset.get("RescaleIntercept") or 0) != 0
    plain = not rescaled and not dataset.get("ModalityLUTSequence")
    if dataset.BitsStored == 8 and dataset.PixelRepresentation == 0 and plain:
        low, high = 0.0, 255.0
    return 255 * ((levels - low) / max(high - low, 1e-6)).clip(0, 1)


def _first_number(dataset: "Dataset", keyword: str) -> float | None:
    value = dataset.get(keyword)
    if isinstance(value, list | tuple) or hasattr(value, "append"):  # pydicom's MultiValue
        value = value[0] if len(value) else None
    return None if value is None or value == "" else float(value)
