"""Damaged pixel data is refused in every codec: cut, ended too early, or with zeroed bytes."""

import re
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate

from model.images.decode import decode
from model.images.limits import Refused
from tests.model.images.conftest import SIDE
from tests.model.images.run_lengths import run_lengths

END_OF_IMAGE = b"\xff\xd9"


def eight(values: np.ndarray) -> np.ndarray:
    return (values >> 4).astype(np.uint8)


def progressive(values: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(eight(values)).save(file, "JPEG", quality=90, progressive=True)
    return file.getvalue()


# Name -> transfer syntax, bits stored, and how the picture is coded.
CODECS: dict[str, tuple[str, int, Any]] = {
    "JPEG baseline": ("4.50", 8, lambda values: imagecodecs.jpeg8_encode(eight(values), level=90)),
    "JPEG extended": ("4.51", 12, lambda values: imagecodecs.jpeg8_encode(values, level=95, bitspersample=12)),
    "JPEG lossless": (
        "4.57",
        12,
        lambda values: imagecodecs.jpeg8_encode(values, lossless=True, predictor=4, bitspersample=12),
    ),
    "JPEG lossless, first predictor": (
        "4.70",
        12,
        lambda values: imagecodecs.jpeg8_encode(values, lossless=True, predictor=1, bitspersample=12),
    ),
    "JPEG-LS": ("4.80", 12, imagecodecs.jpegls_encode),
    "JPEG 2000": ("4.90", 12, lambda values: imagecodecs.jpeg2k_encode(values, codecformat="j2k", reversible=True)),
    "RLE": ("5", 12, run_lengths),
}


def in_dicom(films: Any, name: str, values: np.ndarray, stream: bytes) -> bytes:
    syntax, bits, _ = CODECS[name]
    dataset = films.make(eight(values) if bits == 8 else values, bits)
    dataset.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.{syntax}"
    dataset.PixelData = encapsulate([stream])
    content: bytes = films.content(dataset)
    return content


def zeroed(stream: bytes, share: float, length: int) -> bytes:
    start = int(len(stream) * share)
    return stream[:start] + bytes(length) + stream[start + length :]


@pytest.mark.parametrize("name", CODECS)
def test_a_whole_stream_is_decoded_and_nothing_is_printed(
    films: Any, values: np.ndarray, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    _, bits, encode = CODECS[name]
    shown = films.pixels(in_dicom(films, name, values, encode(values)))
    whole = films.pixels(films.make(eight(values) if bits == 8 else values, bits))
    assert np.abs(shown - whole).mean() < 3
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("ended", [True, False])
def test_a_stream_that_is_cut_is_refused_even_if_it_has_an_end(
    films: Any, values: np.ndarray, name: str, share: float, ended: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    stream = CODECS[name][2](values)
    cut = stream[: int(len(stream) * share)] + END_OF_IMAGE * ended
    assert films.refusal(in_dicom(films, name, values, cut)) == "unreadable"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("share", [0.3, 1])
def test_jpeg_ls_without_an_end_is_refused_before_it_is_decoded(
    films: Any, values: np.ndarray, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CharLS would decode it for seconds."""
    stream = imagecodecs.jpegls_encode(values)
    assert films.pixels(in_dicom(films, "JPEG-LS", values, stream + bytes(len(stream) % 2))).shape == values.shape
    monkeypatch.setattr(imagecodecs, "jpegls_decode", lambda *_: pytest.fail("decoded"))
    cut = stream[: int(len(stream) * share) - len(END_OF_IMAGE)]
    assert films.refusal(in_dicom(films, "JPEG-LS", values, cut)) == "unreadable"


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("length", [8, 2048])
@pytest.mark.parametrize("name", [name for name in CODECS if name not in ("JPEG 2000", "RLE")])
def test_zeroed_bytes_are_refused_where_the_stream_shows_them(
    films: Any, values: np.ndarray, name: str, share: float, length: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """A few zeroed bytes can decode to other values without a trace. The picture may only be close to the whole one."""
    stream = CODECS[name][2](values)
    damaged = in_dicom(films, name, values, zeroed(stream, share, length))
    try:
        shown = films.pixels(damaged)
    except Refused as refused:
        assert refused.code == "unreadable"
    else:
        assert length == 8 and name in ("JPEG baseline", "JPEG extended")
        assert shown.shape == values.shape
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["baseline", "progressive"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
def test_a_jpeg_file_that_is_cut_is_refused_even_if_it_has_an_end(values: np.ndarray, kind: str, share: float) -> None:
    stream = progressive(values) if kind == "progressive" else imagecodecs.jpeg8_encode(eight(values), level=90)
    assert decode(stream).width == SIDE
    for end in (b"", END_OF_IMAGE):
        with pytest.raises(Refused) as caught:
            decode(stream[: int(len(stream) * share)] + end)
        assert caught.value.code == "unreadable"


def test_a_cut_jpeg_that_was_saved_again_is_refused(values: np.ndarray) -> None:
    """Its stream is whole, but its last rows have the one grey with which a decoder filled them."""
    filled = eight(values)
    filled[-SIDE // 4 :] = 128
    with pytest.raises(Refused, match="last rows are missing"):
        decode(imagecodecs.jpeg8_encode(filled, level=90))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_damaged_png_is_refused(values: np.ndarray, share: float) -> None:
    file = BytesIO()
    Image.fromarray(eight(values)).save(file, "PNG")
    whole = file.getvalue()
    for damaged in (zeroed(whole, share, 8), whole[: int(len(whole) * share)]):
        with pytest.raises(Refused, match="damaged"):
            decode(damaged)


@pytest.mark.parametrize("kept", [1, 8, 15])
def test_a_jpeg_2000_stream_without_all_its_tiles_is_refused(films: Any, values: np.ndarray, kept: int) -> None:
    """Sixteen tiles, cut after some of them: each of these streams is decoded without a word, with black tiles."""
    file = BytesIO()
    Image.fromarray(values).save(file, "JPEG2000", no_jp2=True, tile_size=(64, 64))
    stream = file.getvalue()
    assert films.pixels(in_dicom(films, "JPEG 2000", values, stream)).shape == values.shape
    starts = [found.start() for found in re.finditer(rb"\xff\x90\x00\x0a", stream)]
    assert len(starts) == 16
    assert films.refusal(in_dicom(films, "JPEG 2000", values, stream[: starts[kept]] + END_OF_IMAGE)) == "unreadable"


def test_a_progressive_jpeg_without_its_last_scans_is_refused(values: np.ndarray) -> None:
    stream = progressive(values)
    starts = [found.start() for found in re.finditer(rb"\xff\xda", stream)]
    assert len(starts) > 4
    for start in starts[1:]:
        with pytest.raises(Refused, match="damaged"):
            decode(stream[:start] + END_OF_IMAGE)


def test_tables_that_lossless_data_does_not_use_are_no_damage(films: Any, values: np.ndarray) -> None:
    stream = CODECS["JPEG lossless"][2](values)
    unused = b"\xff\xc4\x00\x14\x10" + bytes([1, *[0] * 15]) + b"\x05"
    whole = in_dicom(films, "JPEG lossless", values, stream[:2] + unused + stream[2:])
    assert films.pixels(whole).shape == values.shape


@pytest.mark.parametrize("stream", [b"\x81\x07" * 1_000_000, b"\x81\x07" * 100])
def test_run_lengths_that_expand_to_another_size_are_refused(films: Any, values: np.ndarray, stream: bytes) -> None:
    head = b"".join(number.to_bytes(4, "little") for number in (2, 64, 64 + len(stream)))
    frame = head + bytes(64 - len(head)) + stream * 2
    assert films.refusal(in_dicom(films, "RLE", values, frame)) == "unreadable"


def test_a_stream_of_fewer_bits_than_the_header_says_is_refused(films: Any, values: np.ndarray) -> None:
    dataset = films.make(values, 12)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"
    dataset.PixelData = encapsulate([imagecodecs.jpeg8_encode(eight(values), level=90)])
    assert films.refusal(dataset) == "unreadable"
