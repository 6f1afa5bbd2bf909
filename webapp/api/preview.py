"""The picture that is kept with a record: grey, at most 1024 pixels a side, without any header data of the file.

It is for people to look at and for the heat map, never scored as a finding, so it is a JPEG: a third of a PNG's size
in a store that lives in memory, and a sixth of its time to encode. It goes out as PNG.
"""

import hashlib
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

LONGEST = 1024  # pixels; enough to look at, and a tenth of what a detector film takes
_QUALITY = 90


@dataclass(frozen=True)
class Preview:
    """JPEG bytes with their sha256 (hexadecimal) and size in pixels."""

    content: bytes
    sha256: str
    width: int
    height: int

    def as_dict(self) -> dict[str, object]:
        """What the record says of it."""
        return {"sha256": self.sha256, "width": self.width, "height": self.height}


def preview(grey: Image.Image) -> Preview:
    """Shrink a mode "L" picture to the longest side allowed and encode it."""
    scale = min(1.0, LONGEST / max(grey.size))
    width, height = (max(1, round(scale * side)) for side in grey.size)
    small = grey.resize((width, height), Image.Resampling.BILINEAR)
    small.info = {}  # Pillow would write a comment of the file into the copy
    out = BytesIO()
    small.save(out, "JPEG", quality=_QUALITY)
    content = out.getvalue()
    return Preview(content, hashlib.sha256(content).hexdigest(), small.width, small.height)


def decode(content: bytes) -> Image.Image:
    """A kept picture as mode "L"."""
    return Image.open(BytesIO(content), formats=["JPEG"]).convert("L")


def to_png(picture: Image.Image) -> bytes:
    """A picture as PNG, made quickly rather than small."""
    out = BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return out.getvalue()
