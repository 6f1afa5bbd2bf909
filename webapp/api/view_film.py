"""The 16-bit film that is stored with a record, as `view.bin`: the grey values, without loss, and how to show them.

The bytes: "PN16", the length of the head (4 bytes, little-endian), the head (JSON in ASCII), and a zlib stream. In the
stream each value is the difference to its left neighbour (of the first column: to the one above) modulo 65536, zigzag
coded (0, -1, 1, -2 become 0, 1, 2, 3): first the high bytes of all values, row by row, then the low bytes.
"""

import hashlib
import json
import zlib
from dataclasses import dataclass

import numpy as np

from model.images.grey16 import Grey16

MAGIC = b"PN16"
LEAST_SIDE = 512  # pixels; a film that does not fit the budget with so many is not kept
_LEVEL = 1  # of zlib; 6 takes three times as long for 3 % less
_SPARE = 0.95  # of the budget, because noise does not shrink as evenly as the area


@dataclass(frozen=True)
class ViewFilm:
    """The bytes of a view.bin with their sha256 (hexadecimal)."""

    content: bytes
    sha256: str

    def as_dict(self) -> dict[str, object]:
        """The description of the film in its record."""
        return {"sha256": self.sha256}


def encode(film: Grey16, budget: int) -> ViewFilm | None:
    """The film in at most `budget` bytes, with fewer pixels if it takes that; None if it would have too few."""
    side = max(film.grey.size)
    while True:
        content = _encode(film)
        if len(content) <= budget:
            return ViewFilm(content, hashlib.sha256(content).hexdigest())
        side = int(side * min(0.9, (_SPARE * budget / len(content)) ** 0.5))
        if side < LEAST_SIDE:
            return None
        film = film.shrunk(side)


def _encode(film: Grey16) -> bytes:
    head = {
        "width": film.grey.width,
        "height": film.grey.height,
        "slope": film.slope,
        "intercept": film.intercept,
        "windowCentre": film.centre,
        "windowWidth": film.width,
        "inverted": film.inverted,
    }
    text = json.dumps(head, separators=(",", ":"), allow_nan=False).encode("ascii")
    return MAGIC + len(text).to_bytes(4, "little") + text + zlib.compress(_planes(np.asarray(film.grey)), _LEVEL)


def _planes(values: np.ndarray) -> bytes:
    differences = values.copy()
    differences[:, 1:] -= values[:, :-1]
    differences[1:, 0] -= values[:-1, 0]
    signed = differences.view(np.int16)
    zigzag = ((signed << 1) ^ (signed >> 15)).view(np.uint16)
    return (zigzag >> 8).astype(np.uint8).tobytes() + zigzag.astype(np.uint8).tobytes()
