"""A picture from the API is shown whole or not at all, also by a browser without scripts."""

import zlib
from io import BytesIO

import pytest
from PIL import Image

from model import phantom
from webapp.ui import png


def encoded(image: Image.Image, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


DRAWING = phantom.draw(3, 96, opacity=True)
GREY = encoded(DRAWING)


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "P", "LA", "RGBA", "I;16"])
def test_a_whole_picture_of_any_kind_is_whole(mode: str) -> None:
    image = Image.new(mode, (97, 41)) if mode == "I;16" else DRAWING.resize((97, 41)).convert(mode)
    assert png.is_whole(encoded(image))


def test_no_part_of_a_picture_is_whole() -> None:
    assert not [length for length in range(len(GREY)) if png.is_whole(GREY[:length])]


def test_no_changed_byte_goes_unnoticed() -> None:
    for at in range(0, len(GREY), 7):
        assert not png.is_whole(GREY[:at] + bytes([GREY[at] ^ 1]) + GREY[at + 1 :]), at


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


@pytest.mark.parametrize("rows", [0, 1, 3, 5, 1000])
def test_a_picture_with_valid_checksums_and_other_rows_than_it_declares_is_not_whole(rows: int) -> None:
    head = chunk(b"IHDR", (8).to_bytes(4, "big") + (4).to_bytes(4, "big") + bytes([8, 0, 0, 0, 0]))
    pixels = zlib.compress(bytes(9) * rows)
    content = png.SIGNATURE + head + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    assert not png.is_whole(content)
    assert not png.is_whole(png.SIGNATURE + head + chunk(b"IDAT", b"no stream") + chunk(b"IEND", b""))
    assert not png.is_whole(png.SIGNATURE + head + chunk(b"IEND", b""))
    whole = chunk(b"IDAT", zlib.compress(bytes(9) * 4))
    assert png.is_whole(png.SIGNATURE + head + whole + chunk(b"IEND", b""))


def test_what_is_no_png_is_not_whole() -> None:
    assert not any(map(png.is_whole, (b"", b"<svg onload=alert(1)>", b"\xff\xd8\xff" + GREY, png.SIGNATURE)))
