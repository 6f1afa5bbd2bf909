"""Decode lossless JPEG, and check the length of its data against what was decoded from it."""

import re
from typing import NamedTuple

import numpy as np

from model.images.jpeg_stream import DAMAGED, LOSSLESS, SCAN, TABLES, Frame, frame, segments
from model.images.limits import Refused

_INTERVAL = 0xDD
_END_OF_DATA = re.compile(rb"\xff[^\x00]", re.DOTALL)
_EXTRA_BITS = np.array([*range(16), 0])  # after the code of each category; -32768, the only value of 16, needs none
_STRIP = 500_000  # values that are looked at together


def decode(stream: bytes) -> np.ndarray:
    """Decode a lossless JPEG (ISO 10918-1 annex H) to uint8 or uint16 [rows, columns].

    A damaged stream gives other values, which leave their range, or need more or fewer bytes than there are;
    libjpeg-turbo overlooks both. It is told that values have 16 bits, so that it keeps those out of range. Raises
    Refused, and anything for damaged data.
    """
    import imagecodecs

    header = frame(stream)
    if header is None or header.kind != LOSSLESS or not 2 <= header.bits <= 16:
        raise Refused("unreadable", DAMAGED)
    values: np.ndarray = imagecodecs.jpeg8_decode(stream[: header.at] + b"\x10" + stream[header.at + 1 :])
    values -= np.uint16((1 << 15) - (1 << (header.bits - 1)))  # the first prediction is half of the range
    if int(values.max()) >> header.bits:
        raise Refused("unreadable", DAMAGED)
    _check_length(stream, header, values)
    return values.astype(np.uint8) if header.bits <= 8 else values


def _check_length(stream: bytes, header: Frame, values: np.ndarray) -> None:
    """Refuse lossless data that is longer or shorter than its decoded values need."""
    scan = _scan(stream)
    if scan is None:
        raise Refused("unreadable", DAMAGED)
    if scan.interval:  # with restarts, the decoder checks each interval
        return
    rows = max(1, _STRIP // header.columns)
    bits = 0
    for start in range(0, len(values), rows):
        strip = values[max(start - 1, 0) : start + rows].astype(np.int32) >> scan.shift
        differences = _differences(strip, scan.predictor, 1 << (header.bits - scan.shift - 1), first=start == 0)
        categories = np.bincount(_category(differences).ravel(), minlength=17)
        if (categories[scan.lengths == 0] > 0).any():
            raise Refused("unreadable", DAMAGED)
        bits += int(categories @ (scan.lengths + _EXTRA_BITS))
    if (bits + 7) // 8 != scan.size:
        raise Refused("unreadable", DAMAGED)


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
    for marker, content, end in segments(stream):
        if marker == TABLES:
            tables |= _code_lengths(content)
        elif marker == _INTERVAL:
            interval = int.from_bytes(content[:2], "big")
        elif marker == SCAN:
            table, predictor, shift = content[2] >> 4, content[3], content[5] & 15
            after = _END_OF_DATA.search(stream, end)
            data = stream[end : after.start() if after else len(stream)]
            if table not in tables or not 1 <= predictor <= 7:
                return None
            return _Scan(predictor, shift, interval, tables[table], len(data) - data.count(b"\xff\x00"))
    return None


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
