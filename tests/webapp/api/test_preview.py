"""The stored picture is small, looks like the original, and contains no metadata."""

import hashlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from model import phantom
from model.images import decode as images
from webapp.api.preview import MAX_SIDE, decode, make_preview, to_png

SECRET = "Patient Name 1970-01-01"


def with_headers(kind: str) -> bytes:
    """A drawing whose file names a patient in every kind of metadata of its format."""
    drawing, out = phantom.draw(3, 192), BytesIO()
    if kind == "JPEG":
        exif = Image.Exif()
        exif[0x010E] = SECRET
        drawing.save(out, kind, quality=95, comment=SECRET.encode(), exif=exif, icc_profile=SECRET.encode())
    else:
        words = PngImagePlugin.PngInfo()
        words.add_text("Comment", SECRET)
        drawing.save(out, kind, pnginfo=words, icc_profile=SECRET.encode())
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_no_metadata_is_kept(kind):
    content = with_headers(kind)
    assert SECRET.encode() in content
    made_preview = make_preview(images.decode(content).grey)
    png = to_png(decode(made_preview.content))
    for made in (made_preview.content, png):
        assert SECRET.encode() not in made
        assert Image.open(BytesIO(made)).info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize(
    ("size", "expected"), [((2048, 1000), (1024, 500)), ((700, 3000), (239, 1024)), ((300, 200),) * 2]
)
def test_the_longest_side_is_limited_and_the_aspect_ratio_kept(size, expected):
    made = make_preview(Image.new("L", size, 90))
    assert (made.width, made.height) == expected
    assert decode(made.content).size == expected
    assert max(expected) <= MAX_SIDE


def test_the_preview_looks_like_the_original_and_does_not_change_it():
    drawing = phantom.draw(5, 300, opacity=True)
    before = drawing.tobytes()
    made = make_preview(drawing)
    assert drawing.tobytes() == before
    shown = np.asarray(Image.open(BytesIO(to_png(decode(made.content)))), dtype=float)
    assert np.abs(shown - np.asarray(drawing, dtype=float)).mean() < 2
    assert made.as_dict() == {"sha256": hashlib.sha256(made.content).hexdigest(), "width": 300, "height": 300}
