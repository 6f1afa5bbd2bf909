"""Decode the pixel data of a DICOM file to its stored values: exactly the bits that count, or a refusal."""

from typing import TYPE_CHECKING

import numpy as np

from model.images import filled_values, jpeg2000_stream, jpeg_stream, lossless_jpeg
from model.images.filled_values import Range
from model.images.limits import Refused, check_size

if TYPE_CHECKING:
    from pydicom import Dataset

# The last part of the transfer syntaxes below 1.2.840.10008.1.2 (PS3.5 A.4).
_RLE = "5"
_JPEG = {"4.50", "4.51", "4.57", "4.70"}  # baseline, extended, lossless, lossless with the first predictor
_LOSSLESS_JPEG = {"4.57", "4.70"}
_JPEG_LS = {"4.80", "4.81"}
_JPEG_2000 = {"4.90", "4.91"}
# Peak memory of decoding in bytes per pixel (measured by tests/model/serving/test_memory.py). Compressed values are
# copied several times by the decoders.
UNCOMPRESSED, COMPRESSED = 4.0, 11.0


def stored_values(dataset: "Dataset") -> tuple[np.ndarray, Range | None]:
    """The stored values, integer [rows, columns], and the lowest and highest padding value, None if there is none.

    Only Bits Stored bits up to High Bit are the value (PS3.5 8.1.1); the sign is the highest of them. Other bits may be
    an embedded overlay, the extended sign or padding; anything else contradicts the header. Raises Refused, and
    anything for damaged data.
    """
    _check_shape(dataset)
    syntax = dataset.file_meta.TransferSyntaxUID
    words = _compressed(dataset) if syntax.is_encapsulated else _uncompressed(dataset)
    values, padding = _significant(words, dataset)
    if not syntax.is_encapsulated:
        filled_values.check(values, dataset, padding)
    return values, padding


def _check_shape(dataset: "Dataset") -> None:
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise Refused("multiple_frames", "the DICOM file contains more than one frame")
    compressed = dataset.file_meta.TransferSyntaxUID.is_encapsulated
    check_size(int(dataset.Columns), int(dataset.Rows), COMPRESSED if compressed else UNCOMPRESSED)
    grey = dataset.PhotometricInterpretation in ("MONOCHROME1", "MONOCHROME2")
    if not grey or int(dataset.SamplesPerPixel) != 1:
        raise Refused("not_an_xray", "the picture has colours; an X-ray is grey")
    allocated, stored, high = dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit
    if allocated not in (8, 16) or not 1 <= stored <= high + 1 <= allocated:
        raise Refused("unreadable", "the DICOM file stores its values in an unsupported bit layout")


def _uncompressed(dataset: "Dataset") -> np.ndarray:
    """The words of an uncompressed picture, uint8 or uint16 [rows, columns]."""
    shape, size = (int(dataset.Rows), int(dataset.Columns)), dataset.BitsAllocated // 8
    needed, content = shape[0] * shape[1] * size, dataset.PixelData
    if len(content) not in (needed, needed + needed % 2):  # padded to an even length
        raise Refused("unreadable", "the DICOM file is damaged: its pixel data has another length than its header says")
    big_endian = not dataset.file_meta.TransferSyntaxUID.is_little_endian
    if size == 1 and big_endian and dataset["PixelData"].VR == "OW":  # two values a word (PS3.5 8.1.2)
        words = np.frombuffer(content, ">u2").astype("<u2").view(np.uint8)[:needed]
    else:
        words = np.frombuffer(content, f"{'>' if big_endian else '<'}u{size}", count=needed // size)
    return words.reshape(shape)


def _compressed(dataset: "Dataset") -> np.ndarray:
    """The words of a compressed picture, uint8 or uint16 [rows, columns]."""
    from pydicom.encaps import generate_frames

    frames = generate_frames(dataset.PixelData, number_of_frames=1)
    stream = next(frames)
    if next(frames, None) is not None:  # more than the header says; all would be decoded
        raise Refused("multiple_frames", "the DICOM file contains more than one frame")
    shape, syntax = (int(dataset.Rows), int(dataset.Columns)), dataset.file_meta.TransferSyntaxUID
    name = syntax.removeprefix("1.2.840.10008.1.2.")
    if name != _RLE:  # RLE has no header of its own
        _check_stream(stream, *shape)
    values = _decoded(stream, name, shape, dataset.BitsAllocated)
    if values.shape != shape:
        raise Refused("unreadable", "the DICOM file is damaged: the size of its picture differs from its header")
    return values.view(f"u{values.itemsize}")


def _decoded(stream: bytes, name: str, shape: tuple[int, int], allocated: int) -> np.ndarray:
    """Decode by the one library of each format: a second attempt on a damaged file only adds risk."""
    import imagecodecs

    if name in _JPEG:
        jpeg_stream.check_entropy(stream)
        lossless = name in _LOSSLESS_JPEG
        values: np.ndarray = lossless_jpeg.decode(stream) if lossless else imagecodecs.jpeg8_decode(stream)
    elif name in _JPEG_LS:
        jpeg_stream.check_ls_end(stream)
        values = imagecodecs.jpegls_decode(stream)
    elif name in _JPEG_2000:
        jpeg2000_stream.check_tiles(stream)
        values = imagecodecs.jpeg2k_decode(stream)
    elif name == _RLE:
        values = _run_lengths(stream, shape, allocated)
    else:
        raise Refused("unreadable", "the DICOM file is compressed in an unsupported way")
    return values


def _run_lengths(stream: bytes, shape: tuple[int, int], allocated: int) -> np.ndarray:
    import imagecodecs

    size = allocated // 8
    if int.from_bytes(stream[:4], "little") != size:  # one segment for each byte (PS3.5 G.5)
        raise Refused("unreadable", "the DICOM file is damaged: the parts of its picture differ from its header")
    # The given size is a limit: a small stream can expand to any.
    decoded = imagecodecs.dicomrle_decode(stream, f"<u{size}", out=shape[0] * shape[1] * size)
    return np.frombuffer(decoded, f"<u{size}").reshape(shape)


def _check_stream(stream: bytes, rows: int, columns: int) -> None:
    """Refuse a compressed picture whose own header declares several channels or another size than the DICOM header.

    The decoders allocate memory by the inner header: without this check a small file could request any amount. A
    stream without such a header is refused too, such as a JPEG 2000 file where PS3.5 A.4.4 requires a bare stream.
    """
    shape = None
    if stream.startswith(b"\xff\x4f\xff\x51"):  # JPEG 2000: SIZ is the first segment (ISO 15444-1 A.5.1)
        right, bottom, left, top = (int.from_bytes(stream[at : at + 4], "big") for at in range(8, 24, 4))
        shape = (bottom - top, right - left, int.from_bytes(stream[40:42], "big"))
    elif stream.startswith(b"\xff\xd8") and (header := jpeg_stream.frame(stream)):
        shape = (header.rows, header.columns, header.channels)
    if shape != (rows, columns, 1):
        raise Refused("unreadable", "the DICOM file is damaged: the size of its picture differs from its header")


def _significant(words: np.ndarray, dataset: "Dataset") -> tuple[np.ndarray, Range | None]:
    """The values that the words store, and the range of padding among them."""
    stored, shift = dataset.BitsStored, dataset.HighBit + 1 - dataset.BitsStored
    signed, width = dataset.PixelRepresentation == 1, 8 * words.itemsize
    padding = _padding(dataset, signed)
    if stored > width:
        raise Refused("unreadable", "the DICOM file contradicts itself: its stream has fewer bits than its header says")
    kept = ((1 << stored) - 1) << shift
    unused = np.asarray(~kept & ((1 << width) - 1), words.dtype)
    others = int(np.bitwise_or.reduce(words, axis=None)) & int(unused)
    if (not others and not signed and shift == 0) or (signed and shift == 0 and _sign_extended(words, stored)):
        return _signed(words, signed), padding
    values = _value(words, stored, shift, signed)
    if others and not _has_embedded_overlay(dataset):
        for row, value in zip(words, values, strict=True):
            _keep_padding(row, value, unused, signed, padding)
    return values, padding


def _keep_padding(
    words: np.ndarray, values: np.ndarray, unused: np.ndarray, signed: bool, padding: Range | None
) -> None:
    """Put padding into a row of values as it is. Raises Refused if other words have unused bits that are set."""
    whole = _signed(words, signed)
    padded = np.zeros(len(words), bool) if padding is None else _within(whole, padding)
    if (words[~padded] & unused).any():
        raise Refused("unreadable", "the DICOM file contradicts itself: its values have more bits than its header says")
    values[padded] = whole[padded]


def _value(words: np.ndarray, stored: int, shift: int, signed: bool) -> np.ndarray:
    """The `stored` bits of each word from bit `shift` on, sign extended if `signed`; one copy at most."""
    width = 8 * words.itemsize
    unused = width - stored
    if unused == 0:
        return _signed(words, signed)
    values = _signed(words << np.asarray(unused - shift, words.dtype), signed)
    values >>= unused
    return values


def _signed(words: np.ndarray, signed: bool) -> np.ndarray:
    """The words as numbers of this machine's byte order, with or without a sign; a view if they are in it."""
    native = words.astype(words.dtype.newbyteorder("="), copy=False)
    return native.view(f"{'i' if signed else 'u'}{words.itemsize}")


def _sign_extended(words: np.ndarray, stored: int) -> bool:
    """Whether the unused bits repeat the sign, so that each word is the value as a whole."""
    limit = 1 << (stored - 1)
    whole = _signed(words, True)
    return -limit <= int(whole.min()) and int(whole.max()) < limit


def _has_embedded_overlay(dataset: "Dataset") -> bool:
    """Whether unused bits hold an overlay (PS3.5 8.1.2; retired, but old films have them)."""
    allocated = (dataset.get((group, 0x0100)) for group in range(0x6000, 0x6020, 2) if (group, 0x3000) not in dataset)
    return any(element is not None and element.value == dataset.BitsAllocated for element in allocated)


def _padding(dataset: "Dataset", signed: bool) -> Range | None:
    """The lowest and highest padding value (PS3.3 C.7.5.1.1.2), with the sign of the pixels whatever its VR."""
    first = dataset.get("PixelPaddingValue")
    if not isinstance(first, int):
        return None
    last = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted(
        with_sign(value, dataset.BitsAllocated, signed) for value in (first, last if isinstance(last, int) else first)
    )
    return low, high


def with_sign(value: int, bits: int, signed: bool) -> int:
    """A number of this many bits, read with or without a sign, whatever it was written as."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def _within(values: np.ndarray, limits: Range) -> np.ndarray:
    within: np.ndarray = (values >= limits[0]) & (values <= limits[1])
    return within
