"""The picture that is kept with a record: 8-bit grey PNG of at most 1024 pixels a side, without any header data."""

import hashlib
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

LONGEST = 1024  # pixels; enough to look at, and a tenth of what a detector film takes
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UP = 2  # PNG filter type: difference to the row above


@dataclass(frozen=True)
class Preview:
    """PNG bytes with their sha256 (hexadecimal) and size in pixels."""

    png: bytes
    sha256: str
    width: int
    height: int

    def as_dict(self) -> dict[str, object]:
        """What the record says of it."""
        return {"sha256": self.sha256, "width": self.width, "height": self.height}


def preview(grey: Image.Image) -> Preview:
    """Shrink a mode "L" picture to the longest side allowed and encode it."""
    if max(grey.size) > LONGEST:
        grey = grey.copy()
        grey.thumbnail((LONGEST, LONGEST), Image.Resampling.BILINEAR)
    png = encode(grey)
    return Preview(png, hashlib.sha256(png).hexdigest(), grey.width, grey.height)


def encode(grey: Image.Image) -> bytes:
    """A mode "L" picture as PNG (ISO/IEC 15948), losslessly.

    Pillow tries five filters on each row and takes four times as long as the network; one filter and run
    lengths give the same size for films and leave the time to the model.
    """
    pixels = np.asarray(grey)
    height, width = pixels.shape
    rows = np.empty((height, width + 1), dtype=np.uint8)
    rows[:, 0] = _UP
    rows[0, 1:] = pixels[0]
    np.subtract(pixels[1:], pixels[:-1], out=rows[1:, 1:])
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    data = packer.compress(rows.data) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def decode(png: bytes) -> Image.Image:
    """A kept picture as mode "L"."""
    return Image.open(BytesIO(png), formats=["PNG"]).convert("L")
