"""DICOM pixel streams: every supported compression is decoded, and truncated streams are refused."""

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import gdcm
import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from model.images.decode import decode
from model.images.limits import Refused


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_uncompressed_syntaxes(films: Any, film: np.ndarray, syntax: str) -> None:
    values = film.astype(np.uint16) * 16
    dataset = films.make(values, 12)
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = values.astype(">u2").tobytes()
        dataset["PixelData"].VR = "OW"
    assert np.abs(films.pixels(dataset) - film).max() <= 1


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_rle(films: Any, film: np.ndarray, bits: int) -> None:
    values = film if bits == 8 else (film.astype(np.uint16) << (bits - 8))
    dataset = films.make(values, bits)
    dataset.compress(RLELossless, encoding_plugin="pydicom")
    assert np.abs(films.pixels(dataset) - film).max() <= 1


GDCM_SYNTAXES = {
    "JPEGLosslessProcess14_1": "1.2.840.10008.1.2.4.70",
    "JPEGLosslessProcess14": "1.2.840.10008.1.2.4.57",
    "JPEGLSLossless": "1.2.840.10008.1.2.4.80",
    "JPEG2000Lossless": "1.2.840.10008.1.2.4.90",
    "RLELossless": "1.2.840.10008.1.2.5",
}


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("name", GDCM_SYNTAXES)
def test_lossless_compressions(
    films: Any, film: np.ndarray, tmp_path: Path, name: str, bits: int, signed: bool
) -> None:
    values = np.rint(film / 255 * (2**bits - 1)).astype(np.int64) - (2 ** (bits - 1) if signed else 0)
    kind = np.dtype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
    plain, packed = tmp_path / "plain.dcm", tmp_path / "packed.dcm"
    plain.write_bytes(films.content(films.make(values.astype(kind), bits)))
    reader = gdcm.ImageReader()
    reader.SetFileName(str(plain))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
    change.SetInput(reader.GetImage())
    if not change.Change():
        pytest.fail(f"gdcm cannot write {name} with {bits} bits")
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(packed))
    assert writer.Write()
    assert dcmread(packed).file_meta.TransferSyntaxUID == GDCM_SYNTAXES[name]
    assert np.abs(films.pixels(packed.read_bytes()) - film).max() <= 1


def jpeg_dicom(films: Any, film: np.ndarray, frame: bytes) -> Dataset:
    dataset = films.make(film)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate([frame])
    return dataset


def jpeg(film: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(film).save(file, "JPEG", quality=95)
    return file.getvalue()


def test_jpeg_baseline(films: Any, film: np.ndarray) -> None:
    assert np.abs(films.pixels(jpeg_dicom(films, film, jpeg(film))) - film).mean() < 3


@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
def test_half_a_stream_is_unreadable(films: Any, film: np.ndarray, share: float) -> None:
    frame = jpeg(film)
    assert films.refusal(jpeg_dicom(films, film, frame[: int(len(frame) * share)])) == "unreadable"


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_half_a_file_is_unreadable(films: Any, film: np.ndarray, share: float) -> None:
    whole = films.content(films.make(film))
    assert films.refusal(whole[: int(len(whole) * share)]) == "unreadable"


def test_stream_of_another_size_than_the_header_is_refused_before_decoding(
    films: Any, film: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decoders reserve what the stream asks for."""
    monkeypatch.setattr("pydicom.pixels.decoders.base.DecodeRunner.decode", lambda *words: pytest.fail("decoded"))
    frame = bytearray(jpeg(film))
    at = frame.index(b"\xff\xc0")
    frame[at + 5 : at + 9] = struct.pack(">HH", 60_000, 60_000)
    file = BytesIO()
    Image.new("L", (500, 400)).save(file, "JPEG2000", no_jp2=True)
    wavelets = jpeg_dicom(films, film, file.getvalue())
    wavelets.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.90"
    for dataset in (jpeg_dicom(films, film, bytes(frame)), jpeg_dicom(films, film, b"\xff\xd8\xff\xd9"), wavelets):
        with pytest.raises(Refused, match="differs from its header"):
            decode(films.content(dataset))


def test_stream_with_channels_or_boxes_around_it_is_refused_before_decoding(
    films: Any, film: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More channels are as much more memory; boxes (a JP2 file) would hide the size from the check."""
    monkeypatch.setattr("pydicom.pixels.decoders.base.DecodeRunner.decode", lambda *words: pytest.fail("decoded"))
    size = film.shape[::-1]
    for mode, kind, options in (
        ("RGB", "JPEG", {}),
        ("RGBA", "JPEG2000", {"no_jp2": True}),
        ("L", "JPEG2000", {"no_jp2": False}),
    ):
        file = BytesIO()
        Image.new(mode, size).save(file, kind, **options)
        dataset = jpeg_dicom(films, film, file.getvalue())
        if kind == "JPEG2000":
            dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.90"
        with pytest.raises(Refused, match="differs from its header"):
            decode(films.content(dataset))


@pytest.mark.parametrize("table", [True, False])
def test_frames_that_the_header_conceals_are_not_decoded(
    films: Any, film: np.ndarray, table: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One frame is declared; a thousand would be decoded and kept. Without a table of offsets they are one's tail."""
    decoded: list[int] = []
    real = imagecodecs.jpeg8_decode
    monkeypatch.setattr(imagecodecs, "jpeg8_decode", lambda stream: decoded.append(1) or real(stream))
    dataset = jpeg_dicom(films, film, jpeg(film))
    dataset.PixelData = encapsulate([jpeg(film)] * 5, has_bot=table)
    if table:
        assert films.refusal(dataset) == "multiple_frames"
    else:
        assert np.abs(films.pixels(dataset) - film).mean() < 3
    assert len(decoded) == (0 if table else 1)


def test_unknown_compression_is_unreadable(films: Any, film: np.ndarray) -> None:
    dataset = jpeg_dicom(films, film, jpeg(film))
    content = films.content(dataset)
    for uid in (b"1.2.840.10008.1.2.4.94", b"1.2.840.10008.1.2.4.99", b"1.2.840.99999.9.9.9.99"):
        assert films.refusal(content.replace(b"1.2.840.10008.1.2.4.50", uid)) == "unreadable"


def test_one_real_film_coded_twice_comes_out_the_same(films: Any, data_root: Path) -> None:
    first, second = (
        films.pixels(path.read_bytes()) for path in sorted((data_root / "dicom/chest").glob("philips*.dcm"))
    )
    assert np.abs(first - second).mean() < 2


def test_real_12_bit_extended_jpeg_agrees_with_the_lossless_one(films: Any, data_root: Path) -> None:
    """The hip film, which is in the folder in both codings, once it says chest."""
    shown = []
    for name in ("hip_cr_jpeg_extended_RG2_JPLY_fixed.dcm", "hip_cr_jpeg_lossless_RG2_JPLL.dcm"):
        dataset = dcmread(data_root / "dicom" / "other" / name)
        dataset.BodyPartExamined = "CHEST"
        shown.append(films.pixels(dataset))
    assert np.abs(shown[0] - shown[1]).mean() < 2
