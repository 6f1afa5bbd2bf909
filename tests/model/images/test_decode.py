"""Decoding: valid pictures of every kind are decoded correctly."""

import struct
import warnings
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.images import decode as images
from model.images import strips
from model.images.decode import decode
from tests.model.images.encoding import encode, refusal


def test_png_and_jpeg_come_out_as_grey_pictures(grey: Image.Image) -> None:
    picture = decode(encode(grey))
    assert (picture.format, picture.width, picture.height, picture.colourful) == ("PNG", 128, 128, 0.0)
    assert picture.grey.mode == "L" and picture.grey.tobytes() == grey.tobytes()
    for progressive in (False, True):
        picture = decode(encode(grey, "JPEG", quality=95, progressive=progressive))
        assert picture.format == "JPEG"
        assert np.abs(np.asarray(picture.grey, dtype=int) - np.asarray(grey)).mean() < 3


@pytest.mark.parametrize(
    "options",
    [
        {"quality": 20},
        {"quality": 95, "optimize": True},
        {"quality": 75, "progressive": True},
        {"quality": 60, "restart_marker_rows": 1},
        {"quality": 100, "dpi": (300, 300)},
    ],
    ids=str,
)
def test_the_strict_decoder_gives_the_values_of_pillow(grey: Image.Image, options: dict[str, Any]) -> None:
    """A grey JPEG is decoded once, by the decoder that reports damage; the network was trained on Pillow's values."""
    content = encode(grey.resize((301, 250)), "JPEG", **options)
    with Image.open(BytesIO(content)) as expected:
        assert decode(content).grey.tobytes() == expected.tobytes()


def test_the_file_type_is_detected_by_content(grey: Image.Image) -> None:
    """The file name is ignored: a GIF, BMP, TIFF or WebP is refused although Pillow could read it."""
    for kind in ("GIF", "BMP", "TIFF", "WEBP", "JPEG2000"):
        assert refusal(encode(grey, kind)) == "unreadable"
    for content in (b"", b"x", b"%PDF-1.4", b"PK\x03\x04", b"\0" * 300, "Röntgen".encode()):
        assert refusal(content) == "unreadable"


def test_borders_of_real_films_are_not_missing_rows(grey: Image.Image) -> None:
    for border in (0, 255):
        framed = grey.copy()
        framed.paste(border, (0, 90, 128, 128))
        assert decode(encode(framed, "JPEG", quality=95)).width == 128


def test_smallest_picture_is_read() -> None:
    assert decode(encode(Image.new("L", (64, 64), 9))).width == 64


def test_deep_png_is_scaled_and_not_clipped(grey: Image.Image) -> None:
    wide = Image.fromarray(np.asarray(grey, dtype=np.uint16) * 257)
    picture = decode(encode(wide))
    assert np.abs(np.asarray(picture.grey, dtype=int) - np.asarray(grey)).max() <= 1


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_detector_depths_in_a_deep_png_fill_the_range(bits: int) -> None:
    ramp = np.linspace(0, 2**bits - 1, 128).astype(np.uint16)
    picture = np.asarray(decode(encode(Image.fromarray(np.tile(ramp, (128, 1))))).grey)
    assert picture.min() == 0 and picture.max() == 255
    assert np.abs(picture[0] - np.linspace(0, 255, 128)).max() <= 1


def test_black_deep_png_stays_black() -> None:
    picture = decode(encode(Image.fromarray(np.zeros((70, 70), dtype=np.uint16))))
    assert picture.grey.getextrema() == (0, 0)


def test_palette_and_bilevel_are_converted(grey: Image.Image) -> None:
    palette = decode(encode(grey.convert("RGB").quantize(256))).grey
    assert np.abs(np.asarray(palette, dtype=int) - np.asarray(grey)).mean() < 4
    assert decode(encode(grey.convert("1"))).grey.getextrema() == (0, 255)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparent_parts_become_black(grey: Image.Image, mode: str) -> None:
    layered = grey.convert(mode)
    mask = Image.new("L", grey.size, 255)
    mask.paste(0, (0, 0, 128, 40))
    layered.putalpha(mask)
    shown = np.asarray(decode(encode(layered)).grey)
    assert shown[:40].max() == 0
    assert (shown[40:] == np.asarray(grey)[40:]).all()


def test_transparent_grey_value_becomes_black() -> None:
    picture = Image.new("L", (80, 80), 200)
    picture.paste(90, (0, 0, 80, 40))
    shown = np.asarray(decode(encode(picture, transparency=200)).grey)
    assert shown[60, 40] == 0 and shown[20, 40] == 90


def test_cmyk_jpeg_is_not_inverted(grey: Image.Image) -> None:
    for mode in ("CMYK", "YCbCr"):
        picture = decode(encode(grey.convert("RGB").convert(mode), "JPEG", quality=95))
        assert np.abs(np.asarray(picture.grey, dtype=int) - np.asarray(grey)).mean() < 4
        assert picture.colourful < 0.02


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_is_turned_upright_as_its_exif_says(kind: str, orientation: int) -> None:
    upright = Image.linear_gradient("L").resize((96, 64))
    upright.paste(200, (0, 0, 48, 16))  # one bright corner at the top left
    lay = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = upright
    for turn in lay.get(orientation, []):
        stored = stored.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode(encode(stored, kind, exif=exif))
    assert (picture.width, picture.height) == picture.grey.size == (96, 64)
    assert np.abs(np.asarray(picture.grey, dtype=int) - np.asarray(upright)).mean() < 2


@pytest.mark.parametrize("entry", [b"\xff" * 12, struct.pack("<HHII", 0x0112, 2, 1000, 500)])
def test_damaged_exif_is_no_damage_to_the_picture(grey: Image.Image, entry: bytes) -> None:
    """And nothing is printed about it: the second one has an orientation beyond its end."""
    content = encode(grey, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + bytes(4))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert decode(content).width == 128
    assert not seen


def test_colour_is_measured(grey: Image.Image) -> None:
    assert decode(encode(grey.convert("RGB"), "JPEG")).colourful < 0.01
    red = Image.new("RGB", (100, 100), (255, 0, 0))
    assert decode(encode(red)).colourful == pytest.approx(1.0)
    tinted = Image.merge("RGB", (grey, grey, grey.point(lambda value: value // 2)))
    assert 0.1 < decode(encode(tinted)).colourful < 0.4


def test_input_is_squashed_to_the_networks_size() -> None:
    picture = Image.fromarray(np.tile(np.arange(200, dtype=np.uint8), (100, 1)))
    pixels = images.to_input(picture, 32, 50)
    assert pixels.shape == (32, 50, 1) and pixels.dtype == np.float32
    assert 0 <= pixels.min() < 5 and 195 < pixels.max() <= 199
    assert (np.diff(pixels[0, :, 0]) > 0).all() and (pixels == pixels[:1]).all()


def test_input_is_antialiased() -> None:
    stripes = Image.fromarray(np.tile(np.array([0, 255], dtype=np.uint8), (256, 128)))
    assert np.abs(images.to_input(stripes, 32, 32) - 127.5).max() < 5


def test_input_of_the_same_size_is_the_picture(grey: Image.Image) -> None:
    assert (images.to_input(grey, 128, 128)[:, :, 0] == np.asarray(grey)).all()


@pytest.mark.parametrize("size", [(64, 64), (65, 97), (200, 131), (64, 1000)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "CMYK"])
def test_strips_give_what_the_whole_picture_gives(mode: str, size: tuple[int, int]) -> None:
    """Grey to the last bit; colour as well where the file is plain RGB, and closely in the other modes."""
    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    whole = Image.fromarray(noise).convert("RGB").quantize(250) if mode == "P" else Image.fromarray(noise).convert(mode)
    grey, colourful = strips.to_grey(whole)
    if mode in ("RGBA", "LA"):
        black = Image.new("RGBA", size, (0, 0, 0, 255))
        whole = Image.alpha_composite(black, whole.convert("RGBA"))
    whole = whole.convert("RGB")
    small = np.asarray(whole.resize((64, 64), Image.Resampling.BOX), dtype=np.float32)
    expected = (small.max(axis=2) - small.min(axis=2)).mean() / 255
    assert grey.tobytes() == whole.convert("L").tobytes()
    assert colourful == (expected if mode == "RGB" else pytest.approx(expected, abs=1e-3))


def test_deep_values_are_scaled_alike_in_every_strip() -> None:
    values = np.random.default_rng(2).integers(0, 40_000, (131, 70), dtype=np.uint16)
    values[130, 69] = 60_000  # the highest, in the last strip, counts for the first
    expected = np.rint(values.astype(np.float32) * np.float32(255 / 65535)).astype(np.uint8)
    assert (np.asarray(strips.scale_depth(Image.fromarray(values))) == expected).all()
