"""Check that a JPEG stream is whole: its frame header, and its entropy-coded data against what was decoded from it."""

import re
from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

import numpy as np

from model.images.limits import Refused

_BASELINE, _EXTENDED, _PROGRESSIVE, _LOSSLESS, _JPEG_LS = 0xC0, 0xC1, 0xC2, 0xC3, 0xF7
_TABLES, _SCAN, _INTERVAL = 0xC4, 0xDA, 0xDD
_AC = 0x10  # added to the number of a table: it is of coefficients other than the first
_NO_FRAME = {0xC4, 0xC8, 0xCC}  # among C0 to CF: Huffman tables, reserved, arithmetic conditioning
_NO_LENGTH = {0x00, 0x01, *range(0xD0, 0xDA)}  # markers without a segment: none of them belongs before the frame
_DAMAGED = "the JPEG data is damaged or incomplete"
_SCAN_START = re.compile(rb"\xff\xda", re.DOTALL)  # in coded data, a byte FF is followed by 00
_END_OF_DATA = re.compile(rb"\xff[^\x00]", re.DOTALL)
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)  # no restart either
_EXTRA_BITS = np.array([*range(16), 0])  # after the code of each category; -32768, the only value of 16, needs none
_LS_SCAN_HEADER = 10  # bytes, its marker included, for one channel (ISO 14495-1 C.2.3)
_STRIP = 500_000  # values that are looked at together


class Frame(NamedTuple):
    """The frame header (ISO 10918-1 B.2.2). `at`: the position of its precision, one byte."""

    at: int
    kind: int
    bits: int
    rows: int
    columns: int
    channels: int


def frame(stream: bytes) -> Frame | None:
    """The frame header of a JPEG or JPEG-LS stream, None if there is none."""
    for marker, content, end in _segments(stream):
        is_frame = marker == _JPEG_LS or (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME)
        if is_frame and len(content) >= 6:
            rows, columns = (int.from_bytes(content[start : start + 2], "big") for start in (1, 3))
            return Frame(end - len(content), marker, content[0], rows, columns, content[5])
    return None


def check_entropy(stream: bytes) -> None:
    """Refuse a Huffman-coded JPEG whose data ends too early or late, or cannot be decoded.

    The decoders replace what is missing by grey and only count a warning; libjpeg-turbo's strict mode raises an error.
    It reads 8 bits only. How data is coded does not depend on the precision, so another one is replaced for the check.
    Raises Refused.
    """
    import simplejpeg

    header = frame(stream)
    if header is None or (header.kind == _PROGRESSIVE and not _is_refined(stream, header.channels)):
        raise Refused("unreadable", _DAMAGED)
    if header.kind in (_BASELINE, _EXTENDED) and not _is_possible(stream):
        raise Refused("unreadable", _DAMAGED)
    if header.bits != 8:
        stream = stream[: header.at] + b"\x08" + stream[header.at + 1 :]
    smallest = {} if header.kind == _LOSSLESS else {"min_height": 1, "min_width": 1, "min_factor": 1}
    try:
        if simplejpeg.decode_jpeg_header(stream)[:2] != (header.rows, header.columns):
            raise Refused("unreadable", _DAMAGED)
        simplejpeg.decode_jpeg(stream, "GRAY", strict=True, **smallest)
    except ValueError as error:
        raise Refused("unreadable", _DAMAGED) from error


def _is_possible(stream: bytes) -> bool:
    """Whether the first scan has its tables, and, if it is of one channel, no more zero bytes in a row than a picture.

    Zeros are the first code of a table. Unless that ends a block, they give its 63 coefficients one and the same value.
    """
    first: dict[int, tuple[int, int]] = {}  # of each table: the length of its first code, and what that stands for
    for marker, content, end in _segments(stream):
        if marker == _TABLES:
            while len(content) > 17:
                length = next((at for at in range(1, 17) if content[at]), 16)
                first[content[0]] = (length, content[17])
                content = content[17 + sum(content[1:17]) :]
        elif marker == _SCAN:
            pairs = [(names >> 4, _AC + (names & 15)) for names in content[2 : 1 + 2 * content[0] : 2]]
            if not {name for pair in pairs for name in pair} <= first.keys():
                return False  # the decoder takes the usual ones
            (dc_length, dc_bits), (length, symbol) = first[pairs[0][0]], first[pairs[0][1]]
            skipped, bits = divmod(symbol, 16)
            block = dc_length + dc_bits + ceil(63 / (skipped + 1)) * (length + bits)
            zeros = bytes((2 * block + 64) // 8)  # the first of two blocks may have begun before them
            after = _END_OF_SCAN.search(stream, end)
            return len(pairs) > 1 or not bits or stream.find(zeros, end, after and after.start()) < 0
    return False


def _is_refined(stream: bytes, channels: int) -> bool:
    """Whether the scans of a progressive stream code every bit of every coefficient (ISO 10918-1 G.1.1)."""
    missing = {(channel, coefficient): 1 for channel in range(channels) for coefficient in range(64)}
    names: dict[int, int] = {}
    for found in _SCAN_START.finditer(stream):
        at = found.end() + 2
        count = stream[at]
        for selector in stream[at + 1 : at + 1 + 2 * count : 2]:
            channel = names.setdefault(selector, len(names))
            first, last, bits = stream[at + 1 + 2 * count : at + 4 + 2 * count]
            for coefficient in range(first, last + 1):
                missing[channel, coefficient] = bits & 15
    return not any(missing.values())


def check_ls_end(stream: bytes) -> None:
    """Refuse JPEG-LS data without an end of image: CharLS decodes even a small one for up to half a minute.

    ISO 14495-1 demands one; in coded data, a byte FF is followed by less than 80. Raises Refused.
    """
    if stream.rfind(b"\xff\xd9") < stream.rfind(b"\xff\xda") + _LS_SCAN_HEADER:
        raise Refused("unreadable", _DAMAGED)


def lossless_values(stream: bytes) -> np.ndarray:
    """Decode a lossless JPEG (ISO 10918-1 annex H) to uint8 or uint16 [rows, columns].

    A damaged stream gives other values, which leave their range, or need more or fewer bytes than there are;
    libjpeg-turbo overlooks both. It is told that values have 16 bits, so that it keeps those out of range. Raises
    Refused, and anything for damaged data.
    """
    import imagecodecs

    header = frame(stream)
    if header is None or header.kind != _LOSSLESS or not 2 <= header.bits <= 16:
        raise Refused("unreadable", _DAMAGED)
    values: np.ndarray = imagecodecs.jpeg8_decode(stream[: header.at] + b"\x10" + stream[header.at + 1 :])
    values -= np.uint16((1 << 15) - (1 << (header.bits - 1)))  # the first prediction is half of the range
    if int(values.max()) >> header.bits:
        raise Refused("unreadable", _DAMAGED)
    _check_length(stream, header, values)
    return values.astype(np.uint8) if header.bits <= 8 else values


def _check_length(stream: bytes, header: Frame, values: np.ndarray) -> None:
    """Refuse lossless data that is longer or shorter than its decoded values need."""
    scan = _scan(stream)
    if scan is None:
        raise Refused("unreadable", _DAMAGED)
    if scan.interval:  # with restarts, the decoder checks each interval
        return
    rows = max(1, _STRIP // header.columns)
    bits = 0
    for start in range(0, len(values), rows):
        strip = values[max(start - 1, 0) : start + rows].astype(np.int32) >> scan.shift
        differences = _differences(strip, scan.predictor, 1 << (header.bits - scan.shift - 1), first=start == 0)
        categories = np.bincount(_category(differences).ravel(), minlength=17)
        if (categories[scan.lengths == 0] > 0).any():
            raise Refused("unreadable", _DAMAGED)
        bits += int(categories @ (scan.lengths + _EXTRA_BITS))
    if (bits + 7) // 8 != scan.size:
        raise Refused("unreadable", _DAMAGED)


class _Scan(NamedTuple):
    """lengths: of the Huffman code of each category, 0 if it has none, int [17]. size: bytes, without stuffed ones."""

    predictor: int
    shift: int
    interval: int
    lengths: np.ndarray
    size: int


def _scan(stream: bytes) -> _Scan | None:
    """The only scan of a stream of one channel, None if it is not as ISO 10918-1 annex B requires."""
    interval, tables = 0, {}
    for marker, content, end in _segments(stream):
        if marker == _TABLES:
            tables |= _code_lengths(content)
        elif marker == _INTERVAL:
            interval = int.from_bytes(content[:2], "big")
        elif marker == _SCAN:
            table, predictor, shift = content[2] >> 4, content[3], content[5] & 15
            after = _END_OF_DATA.search(stream, end)
            data = stream[end : after.start() if after else len(stream)]
            if table not in tables or not 1 <= predictor <= 7:
                return None
            return _Scan(predictor, shift, interval, tables[table], len(data) - data.count(b"\xff\x00"))
    return None


def _segments(stream: bytes) -> Iterator[tuple[int, bytes, int]]:
    """The marker, the content and the end of each segment, up to the first that is none."""
    at = 2
    while at + 4 <= len(stream) and stream[at] == 0xFF:
        marker, end = stream[at + 1], at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _NO_LENGTH or end < at + 4:
            return
        else:
            yield marker, stream[at + 4 : end], end
            at = end


def _code_lengths(content: bytes) -> dict[int, np.ndarray]:
    """The lengths of the codes of each table in a segment of Huffman tables (ISO 10918-1 B.2.4.2)."""
    tables = {}
    while len(content) >= 17:
        counts, lengths = content[1:17], np.zeros(17, np.int64)
        symbols = content[17 : 17 + sum(counts)]
        for symbol, length in zip(symbols, np.repeat(np.arange(1, 17), list(counts)), strict=True):
            lengths[min(symbol, 16)] = length
        tables[content[0]] = lengths  # below 16: of the class that lossless data uses
        content = content[17 + len(symbols) :]
    return tables


def _differences(strip: np.ndarray, predictor: int, middle: int, first: bool) -> np.ndarray:
    """What is coded of each value: its difference from the prediction (ISO 10918-1 H.1.2), modulo 65536.

    strip: int32 [rows, columns]; unless `first`, its first row is the one above.
    """
    left, above, corner = strip[1:, :-1], strip[:-1, 1:], strip[:-1, :-1]
    predicted = np.empty_like(strip)
    predicted[0, 0], predicted[0, 1:], predicted[1:, 0] = middle, strip[0, :-1], strip[:-1, 0]
    match predictor:
        case 1:
            inner = left
        case 2:
            inner = above
        case 3:
            inner = corner
        case 4:
            inner = left + above - corner
        case 5:
            inner = left + ((above - corner) >> 1)
        case 6:
            inner = above + ((left - corner) >> 1)
        case _:
            inner = (left + above) >> 1
    predicted[1:, 1:] = inner
    differences: np.ndarray = (strip - predicted)[0 if first else 1 :]
    return ((differences + 32768) & 65535) - 32768


def _category(differences: np.ndarray) -> np.ndarray:
    """The number of bits of each magnitude (ISO 10918-1 table H.2), 0 to 16."""
    return np.frexp(np.abs(differences).astype(np.float32))[1]
