"""A block of zeros that storage left in a JPEG stream is refused where no encoder writes so many zeros."""

import re
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate

from model.images import lossless_jpeg
from model.images.decode import decode
from model.images.limits import Refused
from tests.model.images.noisy_films import SIDE, noisy_film, saved

JPEGS: dict[str, dict[str, Any]] = {"the usual tables": {}, "tables of its own": {"optimize": True}}
COLOURS: dict[str, dict[str, Any]] = {
    "small channels": {"quality": 95},
    "large channels": {"quality": 95, "subsampling": 0},
    "highest quality": {"quality": 100},
    "tables of its own": {"quality": 100, "optimize": True},
}


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
@pytest.mark.parametrize("bits", [8, 12])
def test_a_jpeg_that_lost_a_block_is_refused(
    films: Any, bordered_film: np.ndarray, bits: int, options: dict[str, Any]
) -> None:
    """Wherever the 64 bytes were: the decoder may read zeros as just as many coefficients as there would be."""
    part = noisy_film(96)
    if bits == 8:
        syntax, stream = "50", saved(part, "JPEG", quality=90, **options)
    else:
        syntax = "51"
        stream = imagecodecs.jpeg8_encode(part.astype(np.uint16) << 4, level=90, bitspersample=12, **options)
    assert films.pixels(dicom_jpeg(films, part, stream, bits, syntax)).shape == part.shape
    for at in range(stream.rfind(b"\xff\xda") + 10, len(stream) - 66, 16):
        damaged = stream[:at] + bytes(64) + stream[at + 64 :]
        assert films.refusal(dicom_jpeg(films, part, damaged, bits, syntax)) == "unreadable"


@pytest.mark.parametrize("options", COLOURS.values(), ids=COLOURS)
@pytest.mark.parametrize("length", [64, 512])
def test_a_colour_jpeg_that_lost_a_block_is_refused(length: int, options: dict[str, Any]) -> None:
    """The blocks of its channels alternate."""
    stream = saved(np.stack([noisy_film(96)] * 3, axis=2), "JPEG", **options)
    assert decode(stream).width == 96
    for at in range(stream.rfind(b"\xff\xda") + 14, len(stream) - length - 2, 16):
        with pytest.raises(Refused, match="damaged"):
            decode(stream[:at] + bytes(length) + stream[at + length :])


@pytest.mark.parametrize("quality", [90, 100])
def test_a_grey_jpeg_that_lost_a_small_block_is_refused(quality: int) -> None:
    stream = saved(noisy_film(96), "JPEG", quality=quality)
    for at in range(stream.rfind(b"\xff\xda") + 10, len(stream) - 34, 8):
        with pytest.raises(Refused, match="damaged"):
            decode(stream[:at] + bytes(32) + stream[at + 32 :])


@pytest.mark.parametrize("options", [{}, {"restart_marker_rows": 1}])
def test_zeros_after_the_end_of_a_jpeg_are_no_lost_block(
    films: Any, bordered_film: np.ndarray, options: dict[str, Any]
) -> None:
    stream = saved(bordered_film, "JPEG", **options) + bytes(4096)
    assert decode(stream).width == SIDE
    assert films.pixels(dicom_jpeg(films, bordered_film, stream, 8, "50")).shape == bordered_film.shape


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_that_lost_a_table_is_refused(bordered_film: np.ndarray, mode: str) -> None:
    """The decoder takes the usual tables instead."""
    stream = saved(np.asarray(Image.fromarray(bordered_film).convert(mode)), "JPEG")
    tables = [found.start() for found in re.finditer(rb"\xff\xc4", stream[: stream.index(b"\xff\xda")])]
    assert len(tables) == (2 if mode == "L" else 4)
    for at in tables:
        length = 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        for damaged in (stream[:at] + stream[at + length :], stream[: at + 4] + b"\x03" + stream[at + 5 :]):
            with pytest.raises(Refused, match="damaged"):
                decode(damaged)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_progressive_jpeg_that_lost_a_block_is_refused(mode: str) -> None:
    """Where the scan has other coefficients than the first, and its first code does not end a block."""
    stream = saved(np.asarray(Image.fromarray(noisy_film(SIDE)).convert(mode)), "JPEG", quality=95, progressive=True)
    assert decode(stream).width == SIDE
    first = stream.index(b"\xff\xda") + 20
    scan = stream.index(b"\xff\xda", stream.index(b"\x01\x05\x02") + 3)  # the second of coefficients after the first
    for at in (first, first + 1024, *range(scan + 10, len(stream) - 514, 2048)):
        with pytest.raises(Refused, match="damaged"):
            decode(stream[:at] + bytes(512) + stream[at + 512 :])


@pytest.mark.parametrize("pattern", [4, 16])
def test_a_progressive_jpeg_of_a_pattern_is_no_damage(pattern: int) -> None:
    """The bits that refine its coefficients are all zero: as many of them follow each other as a decoder can expect."""
    part = (np.arange(SIDE) // pattern % 2 * 255).astype(np.uint8)
    small = np.asarray(Image.fromarray(noisy_film(SIDE)[200 : 200 + pattern, 200 : 200 + pattern]))
    for picture in (np.tile(part, (SIDE, 1)), np.tile(small, (SIDE // pattern, SIDE // pattern))):
        again = Image.open(BytesIO(saved(picture, "JPEG", quality=60)))
        for quality in (80, 95, 98):
            assert decode(saved(np.asarray(again), "JPEG", quality=quality, progressive=True)).width == SIDE


@pytest.fixture(scope="module")
def thumbnail() -> bytes:
    """An APP1 segment that holds a JPEG."""
    small = saved(noisy_film(32), "JPEG")
    return b"\xff\xe1" + (len(small) + 8).to_bytes(2, "big") + b"Exif\0\0" + small


def test_other_pictures_in_a_file_do_not_complete_a_progressive_one(
    bordered_film: np.ndarray, thumbnail: bytes
) -> None:
    """A thumbnail, and what follows the end, have scans of their own."""
    stream = saved(bordered_film, "JPEG", progressive=True)
    scans = [found.start() for found in re.finditer(rb"\xff\xc4(?:(?!\xff\xc4).){20,99}?\xff\xda", stream, re.DOTALL)]
    assert len(scans) > 2
    for at in scans[1:]:
        cut = stream[:at] + b"\xff\xd9"
        for damaged in (cut, cut[:2] + thumbnail + cut[2:], cut + saved(bordered_film, "JPEG"), cut + stream):
            with pytest.raises(Refused, match="damaged"):
                decode(damaged)


def test_other_data_in_a_progressive_file_is_no_damage(bordered_film: np.ndarray, thumbnail: bytes) -> None:
    """It may look like scans."""
    stream = saved(bordered_film, "JPEG", progressive=True)
    data = b"\xff\xda\x00\x08\x01\x07\x00\x00\x3f\x05" * 1000
    segment = b"\xff\xe7" + (len(data) + 2).to_bytes(2, "big") + data
    for whole in (stream[:2] + segment + stream[2:], stream + data, stream[:2] + thumbnail + stream[2:]):
        assert decode(whole).width == SIDE


@pytest.mark.parametrize("kind", [0xC9, 0xCA, 0xC5, 0xCB])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_of_arithmetic_codes_or_differences_is_refused(films: Any, kind: int, channels: int) -> None:
    """No decoder notices that arithmetic codes end early. Any data is such codes."""
    part = noisy_film(96)
    stream = saved(part if channels == 1 else np.stack([part] * 3, axis=2), "JPEG", progressive=kind == 0xCA)
    stream = re.sub(rb"\xff[\xc0\xc2](?=\x00[\x0b\x11]\x08\x00)", bytes([0xFF, kind]), stream, count=1)
    assert bytes([0xFF, kind]) in stream
    for content in [stream, dicom_jpeg(films, part, stream, 8, "50")][: 1 if channels == 3 else 2]:
        with pytest.raises(Refused, match="the JPEG data is coded in an unsupported way"):
            decode(content)


@pytest.mark.parametrize("predictor", [1, 4])
def test_a_lossless_jpeg_that_lost_a_block_is_refused(films: Any, predictor: int) -> None:
    """Zeros change all later values. Cut to the range of 8 bits, they could seem to need as many bytes as there are."""
    part = noisy_film(64) ^ 0x80  # as words of signed values
    stream = imagecodecs.jpeg8_encode(part, lossless=True, predictor=predictor)
    assert (films.pixels(dicom_jpeg(films, part, stream, 8, "57")) == part).all()
    for at in range(stream.rfind(b"\xff\xda") + 10, len(stream) - 34):
        damaged = stream[:at] + bytes(32) + stream[at + 32 :]
        with pytest.raises(Refused, match="damaged"):
            lossless_jpeg.decode(damaged)


def dicom_jpeg(films: Any, film: np.ndarray, stream: bytes, bits: int, syntax: str) -> bytes:
    dataset = films.make(film if bits == 8 else film.astype(np.uint16), bits)
    dataset.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.4.{syntax}"
    dataset.PixelData = encapsulate([stream])
    content: bytes = films.content(dataset)
    return content


@pytest.mark.parametrize("quality", [30, 60, 95])
@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
def test_flat_parts_of_a_jpeg_are_no_lost_blocks(
    bordered_film: np.ndarray, options: dict[str, Any], quality: int
) -> None:
    """Their blocks are short codes, which may be zeros from one to the next."""
    assert decode(saved(bordered_film, "JPEG", quality=quality, **options)).width == SIDE
    flat = np.zeros((SIDE, SIDE), np.uint8)
    flat[200:300, 200:300] = 200
    for picture in (flat, np.stack([flat] * 3, axis=2), np.stack([bordered_film] * 3, axis=2)):
        assert decode(saved(picture, "JPEG", quality=quality, **options)).width == SIDE
