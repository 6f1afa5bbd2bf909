"""Refuse an uncompressed picture in which a broken transfer left one value: at its end, at its beginning or amid it."""

from typing import TYPE_CHECKING

import numpy as np

from model.images.limits import Refused

if TYPE_CHECKING:
    from pydicom import Dataset

_SAME = 0.01  # of a picture: the end or the beginning of one value that is suspicious
_WITHIN = (
    16  # values at least that are missing in a row at which such values begin or end, and are in the row beside it
)
Range = tuple[int, int]


def check(values: np.ndarray, dataset: "Dataset", padding: Range | None) -> None:
    """Raise Refused("unreadable", ..) for stored values, integer [rows, columns], that were filled with one value.

    Borders and padding are no damage: a border has straight edges, so that it begins with a row, or at its side it is
    as wide as in the row beside it. One that is not dark is at another side, too. padding: the lowest and the highest
    padding value.
    """
    if _is_filled_at_end(values, dataset, padding):
        raise Refused("unreadable", "the DICOM file is incomplete: the end of its picture was filled with one value")
    if _is_white_at_start(values, dataset, padding) or _has_lost_rows(values, padding):
        raise Refused("unreadable", "the DICOM file is damaged: a part of its picture was filled with one value")


def _is_filled_at_end(values: np.ndarray, dataset: "Dataset", padding: Range | None) -> bool:
    last = int(values[-1, -1])
    others = values != last
    if _same_at_start(others[::-1, ::-1]) < max(values.shape[1], _SAME * values.size) or _is_padding(last, padding):
        return False
    filled = np.flatnonzero(others.any(axis=1))
    row = int(filled[-1]) if filled.size else 0
    begins_within = row > 0 and _is_cut(others[row], others[row - 1])
    return begins_within or (_is_bright(last, values, dataset) and not _is_framed(others[::-1]))


def _is_white_at_start(values: np.ndarray, dataset: "Dataset", padding: Range | None) -> bool:
    first = int(values[0, 0])
    if _is_padding(first, padding) or not _is_bright(first, values, dataset):
        return False
    others = values != first
    return _same_at_start(others) >= max(values.shape[1], _SAME * values.size) and not _is_framed(others)


def _has_lost_rows(values: np.ndarray, padding: Range | None) -> bool:
    """Whether rows of zeros lie amid a picture and begin or end within a row."""
    if _is_padding(0, padding):
        return False
    others = values != 0
    filled = others.any(axis=1)
    (rows,) = np.nonzero(filled)
    before = [row for row in rows[:-1] if not filled[row + 1] and row > 0]
    after = [row for row in rows[1:] if not filled[row - 1] and row + 1 < len(values)]
    return any(_is_cut(others[row], others[row - 1]) for row in before) or any(
        _is_cut(others[row, ::-1], others[row + 1, ::-1]) for row in after
    )


def _is_cut(row: np.ndarray, beside: np.ndarray) -> bool:
    """Whether the other values of a row end early, and those of the row beside it do not; both bool [columns]."""
    missing = beside[_after_last(row) : _after_last(beside)]
    return len(missing) >= _WITHIN and float(missing.mean()) > 0.9


def _after_last(row: np.ndarray) -> int:
    return len(row) - int(np.argmax(row[::-1])) if row.any() else 0


def _same_at_start(others: np.ndarray) -> int:
    """How many pixels from the first one on are not among `others`, bool [rows, columns]; it makes no copy of them."""
    filled = others.any(axis=1)
    if not filled.any():
        return others.size
    row = int(np.argmax(filled))
    return row * others.shape[1] + int(np.argmax(others[row]))


def _is_framed(others: np.ndarray) -> bool:
    """Whether one of the other three sides of a picture whose first row is of one value is of that value, too."""
    return not (others[-1].any() and others[:, 0].any() and others[:, -1].any())


def _is_padding(value: int, padding: Range | None) -> bool:
    return padding is not None and padding[0] <= value <= padding[1]


def _is_bright(value: int, values: np.ndarray, dataset: "Dataset") -> bool:
    """Whether a value is white; zero counts as such if there are negative values, which makes it grey."""
    if dataset.PixelRepresentation == 1:
        return value == 0 and int(values.min()) < 0
    return value == (0 if dataset.PhotometricInterpretation == "MONOCHROME1" else (1 << dataset.BitsStored) - 1)
