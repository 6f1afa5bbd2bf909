"""Whole small files of every format, codec and layout that is decoded, and real ones: what a fuzz damages."""

import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, generate_fragments
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from model import phantom
from tests.model.conftest import Films
from tests.model.images.run_lengths import run_lengths

SIDE = 96
_ROOT = "1.2.840.10008.1.2."


class Whole(NamedTuple):
    """A file, and where its pixel data is: `stream`, the bytes [start, end) of `content`.

    `codec`: "native", "RLE", "JPEG", "JPEG lossless", "JPEG-LS", "JPEG 2000", "PNG"; "" if the stream is not known.
    `packed`: the four bytes before the stream are its length, as in DICOM.
    """

    name: str
    codec: str
    content: bytes
    start: int
    end: int
    packed: bool

    @property
    def stream(self) -> bytes:
        return self.content[self.start : self.end]

    def holding(self, stream: bytes) -> bytes:
        """This file with another stream, its length written before it."""
        if not self.packed:
            return self.content[: self.start] + stream + self.content[self.end :]
        order = "big" if self.name.startswith("big endian") else "little"
        stream += bytes(len(stream) % 2)
        length = len(stream).to_bytes(4, order)
        return self.content[: self.start - 4] + length + stream + self.content[self.end :]


Encoder = Callable[[np.ndarray, int], bytes]


def _wavelets(values: np.ndarray, **options: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(values).save(file, "JPEG2000", no_jp2=True, **options)
    return file.getvalue()


def _pillow_jpeg(values: np.ndarray, **options: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(values).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


# Codec, transfer syntax, depths, encoder of unsigned words.
_ENCODERS: list[tuple[str, str, tuple[int, ...], Encoder]] = [
    ("JPEG", "4.50", (8,), lambda words, bits: imagecodecs.jpeg8_encode(words, level=90)),
    ("JPEG", "4.50", (8,), lambda words, bits: _pillow_jpeg(words, restart_marker_rows=1)),
    ("JPEG", "4.51", (12,), lambda words, bits: imagecodecs.jpeg8_encode(words, level=90, bitspersample=12)),
    ("JPEG lossless", "4.57", (8, 12, 16), lambda words, bits: _lossless(words, bits, predictor=4)),
    ("JPEG lossless", "4.57", (12,), lambda words, bits: _lossless(words, bits, predictor=7)),
    ("JPEG lossless", "4.70", (8, 12, 16), lambda words, bits: _lossless(words, bits, predictor=1)),
    ("JPEG-LS", "4.80", (8, 12, 16), lambda words, bits: imagecodecs.jpegls_encode(words)),
    ("JPEG-LS", "4.81", (8, 12), lambda words, bits: imagecodecs.jpegls_encode(words, level=2)),
    (
        "JPEG 2000",
        "4.90",
        (8, 12, 16),
        lambda words, bits: imagecodecs.jpeg2k_encode(words, codecformat="j2k", reversible=True, bitspersample=bits),
    ),
    ("JPEG 2000", "4.90", (8, 16), lambda words, bits: _wavelets(words, tile_size=(48, 48))),
    ("JPEG 2000", "4.91", (8, 16), lambda words, bits: _wavelets(words, irreversible=True, quality_layers=[8, 4])),
    ("RLE", "5", (8, 12, 16), lambda words, bits: run_lengths(words)),
]


_SIGNED = {"4.57", "4.70", "4.80", "5"}  # here; JPEG 2000 knows signs of its own


def _lossless(words: np.ndarray, bits: int, predictor: int) -> bytes:
    stream: bytes = imagecodecs.jpeg8_encode(words, lossless=True, predictor=predictor, bitspersample=bits)
    return stream


def _drawn(bits: int, signed: bool) -> np.ndarray:
    """A drawing with the noise of a detector and without zeros, as words of two's complement."""
    drawn = np.asarray(phantom.draw(5, SIDE), np.float64) / 255
    noisy = drawn + np.random.default_rng(bits).normal(0, 0.005, drawn.shape)
    highest = (1 << bits) - 1
    values = (noisy * highest).round().clip(1, highest - 1).astype(np.int64)
    if signed:
        values -= 1 << (bits - 1)
        values[values == 0] = 1
    return values.astype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")


def _words(values: np.ndarray, bits: int) -> np.ndarray:
    """The stored bits alone, unsigned: what the codecs without a sign are given."""
    words: np.ndarray = values.view(f"u{values.itemsize}") & np.asarray((1 << bits) - 1, f"u{values.itemsize}")
    return words


def located(name: str, codec: str, content: bytes, stream: bytes) -> Whole:
    """A DICOM file whose pixel data is this stream, of any parity."""
    start = content.rfind(stream)
    return Whole(name, codec, content, start, start + len(stream) + len(stream) % 2, packed=True)


def _native() -> Iterator[Whole]:
    for bits, signed, polarity in product((8, 12, 16), (False, True), ("MONOCHROME1", "MONOCHROME2")):
        dataset = Films.make(_drawn(bits, signed), bits, PhotometricInterpretation=polarity)
        yield _whole(f"native {bits} bits {'signed ' * signed}{polarity}", "native", dataset)
    values = _drawn(12, False)
    dataset = Films.make(values, 12)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    yield _whole("implicit native", "native", dataset)
    dataset = Films.make(values, 12)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.PixelData = values.astype(">u2").tobytes()
    dataset["PixelData"].VR = "OW"
    yield _whole("big endian native", "native", dataset)
    yield from _headers(values)


def _headers(values: np.ndarray) -> Iterator[Whole]:
    """Native films whose headers hold what changes the picture: an overlay, padding, windows and tables."""
    overlaid = Films.make(values | np.uint16(1 << 14), 12)
    overlaid.add_new((0x6000, 0x0100), "US", 16)
    overlaid.add_new((0x6000, 0x0102), "US", 14)
    yield _whole("native with overlay", "native", overlaid)
    tags: dict[str, dict[str, Any]] = {
        "padding": {"PixelPaddingValue": 4095},
        "window": {"WindowCenter": ["2000", "1"], "WindowWidth": ["3000", "2"], "VOILUTFunction": "SIGMOID"},
        "rescale": {"RescaleSlope": "2", "RescaleIntercept": "-1024", "PatientOrientation": ["R", "H"]},
        "high bit": {"HighBit": 12},
    }
    for name, changed in tags.items():
        yield _whole(
            f"native with {name}", "native", Films.make(values << np.uint16(name == "high bit"), 12, **changed)
        )
    for keyword in ("ModalityLUTSequence", "VOILUTSequence"):
        table = Dataset()
        table.add_new("LUTDescriptor", "US", [4096, 0, 12])
        table.add_new("LUTData", "OW", np.arange(4096, dtype="<u2").tobytes())
        yield _whole(f"native with {keyword}", "native", Films.make(values, 12, **{keyword: [table]}))


def _whole(name: str, codec: str, dataset: Dataset) -> Whole:
    return located(name, codec, Films.content(dataset), dataset.PixelData)


def _compressed() -> Iterator[Whole]:
    for number, (codec, syntax, depths, encode) in enumerate(_ENCODERS):
        for bits, signed in product(depths, (False, True)):
            if signed and syntax not in _SIGNED:
                continue
            values = _drawn(bits, signed)
            dataset = Films.make(values, bits, PhotometricInterpretation=f"MONOCHROME{1 + signed}")
            stream = encode(_words(values, bits), bits)
            name = f"{codec} {syntax} {bits} bits{' signed' * signed}, encoder {number}"
            yield _packed(name, codec, syntax, dataset, stream)
    for bits in (8, 12, 16):
        values = _drawn(bits, True)
        stream = imagecodecs.jpeg2k_encode(values, codecformat="j2k", reversible=True, bitspersample=bits)
        name = f"JPEG 2000 4.90 {bits} bits signed"
        yield _packed(name, "JPEG 2000", "4.90", Films.make(values, bits), stream)


def _packed(name: str, codec: str, syntax: str, dataset: Dataset, stream: bytes) -> Whole:
    dataset.file_meta.TransferSyntaxUID = _ROOT + syntax
    dataset.PixelData = encapsulate([stream])
    return located(name, codec, Films.content(dataset), stream)


def _pictures() -> Iterator[Whole]:
    grey = Image.fromarray(_drawn(8, False))
    for mode, options in (("L", {}), ("1", {}), ("P", {}), ("RGB", {}), ("RGBA", {}), ("LA", {}), ("I;16", {})):
        image = Image.fromarray(_drawn(16, False)) if mode == "I;16" else grey.convert(mode)
        yield _picture(f"PNG {mode}", image, "PNG", **options)
    turned = Image.Exif()
    turned[0x0112] = 6
    yield _picture("PNG turned", grey, "PNG", exif=turned)
    yield _picture("PNG transparent", grey, "PNG", transparency=200)
    for mode in ("L", "RGB", "CMYK"):
        for progressive in (False, True):
            yield _picture(
                f"JPEG {mode}{' progressive' * progressive}", grey.convert(mode), "JPEG", progressive=progressive
            )
    yield _picture("JPEG turned", grey, "JPEG", exif=turned)
    yield _picture("JPEG with restarts", grey, "JPEG", restart_marker_blocks=3)
    yield _picture("JPEG full colour", grey.convert("RGB"), "JPEG", subsampling=0)


def _picture(name: str, image: Image.Image, kind: str, **options: Any) -> Whole:
    file = BytesIO()
    image.save(file, kind, **options)
    content = file.getvalue()
    return Whole(name, kind, content, 0, len(content), packed=False)


def built() -> list[Whole]:
    """The files that are built here, always the same ones."""
    return [*_native(), *_compressed(), *_pictures()]


_CODECS = {
    "JPEG": ("4.50", "4.51"),
    "JPEG lossless": ("4.57", "4.70"),
    "JPEG-LS": ("4.80", "4.81"),
    "JPEG 2000": ("4.90", "4.91"),
    "RLE": ("5",),
}
_BY_SYNTAX = {_ROOT + syntax: codec for codec, syntaxes in _CODECS.items() for syntax in syntaxes}


def real(root: Path) -> list[Whole]:
    """The real films and the files of fault reports below the folder that PNEUMO_DATA names."""
    paths = [path for folder in ("dicom", "faults") for path in sorted((root / folder).rglob("*.*"))]
    return [_real(path) for path in paths if path.suffix in (".dcm", ".png", ".jpg")]


def _real(path: Path) -> Whole:
    content = path.read_bytes()
    unknown = Whole(path.name, "", content, 0, len(content), packed=False)
    if path.suffix != ".dcm":
        return unknown._replace(codec="PNG" if path.suffix == ".png" else "JPEG")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(BytesIO(content), force=True)
            codec = _BY_SYNTAX[dataset.file_meta.TransferSyntaxUID]
            _, stream = generate_fragments(dataset.PixelData)
    except (AttributeError, KeyError, ValueError):  # no DICOM, not compressed, or more fragments than the table and one
        return unknown
    return located(path.name, codec, content, stream)
