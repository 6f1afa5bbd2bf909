"""Check that a JPEG 2000 codestream is whole: every tile is there, its data is possible, and it ends where it says."""

import re
from collections import Counter
from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

from model.images.limits import Refused

MOST_TILES = 4096  # the decoder allocates memory for each
_SOT, _SOD, _EOC, _COD = b"\xff\x90", b"\xff\x93", b"\xff\xd9", b"\xff\x52"
_CODING = {b"\xff\x52", b"\xff\x53"}  # COD, and COC for one channel
# In coded data, a byte FF is followed by less than 90, but for the optional marks of a packet: SOP, with its number,
# and EPH (ISO 15444-1 A.8).
_MARK = re.compile(rb"\xff\x91\x00\x04..|\xff[\x90-\xff]", re.DOTALL)
_BYPASS = 1  # of the code-block styles: some bits are stored as they are, and may all be zero
_ZEROS = 16  # more bytes than the coded data of a film has in a row: 7 at most of 1,470 streams
_DAMAGED = "the JPEG 2000 data is damaged or incomplete"


class _Coding(NamedTuple):
    """What the main header says of packets: their marks, and how many zero bytes may follow each other among them."""

    marks: tuple[bytes, ...]
    zeros: int | None


def check_tiles(stream: bytes) -> None:
    """Refuse a codestream (ISO 15444-1 A.4 and A.5) that misses a tile, a part of one or its end, or has other bytes.

    The decoder leaves missing tiles black, and decodes any bytes to something, without a word. Raises Refused.
    """
    expected, coding = _tile_count(stream), _coding(stream)
    at, parts, declared = _first_part(stream), Counter[int](), {}
    while stream[at : at + 2] == _SOT:
        tile, length = (int.from_bytes(stream[at + 4 : at + 6], "big"), int.from_bytes(stream[at + 6 : at + 10], "big"))
        parts[tile] += 1
        if count := stream[at + 11 : at + 12] and stream[at + 11]:
            declared[tile] = count
        end = at + length if length else stream.rfind(_EOC)  # 0: up to the end
        if (length and length < 14) or not _is_possible(stream, at, end, coding):
            raise Refused("unreadable", _DAMAGED)
        at = end
        if not length:
            break
    complete = set(parts) == set(range(expected)) and all(parts[tile] == count for tile, count in declared.items())
    if at < 0 or stream[at : at + 2] != _EOC or not complete:
        raise Refused("unreadable", _DAMAGED)


def _is_possible(stream: bytes, at: int, end: int, coding: _Coding) -> bool:
    """Whether the tile part [at, end) has data that an encoder can write: no markers, and no lost block of zeros."""
    start, zeros = at + 12, coding.zeros
    while (marker := stream[start : start + 2]) != _SOD:
        length = int.from_bytes(stream[start + 2 : start + 4], "big")
        if length < 2 or start >= end:
            return False
        zeros = None if marker in _CODING else zeros  # this part is coded in another way
        start += 2 + length
    longest = min(end, len(stream)) - start
    if zeros is not None and zeros < longest and stream.find(bytes(zeros + 1), start, end) >= 0:
        return False
    found = (mark.group()[:2] for mark in _MARK.finditer(stream, start + len(_SOD), end))
    return all(mark in coding.marks for mark in found)


def _coding(stream: bytes) -> _Coding:
    """The coding style (ISO 15444-1 A.6.1)."""
    segments = dict(_segments(stream))
    style = segments.get(_COD, b"")
    if len(style) < 10:
        raise Refused("unreadable", _DAMAGED)
    marks = (b"\xff\x91",) * bool(style[0] & 2) + (b"\xff\x92",) * bool(style[0] & 4)
    bypass = style[8] & _BYPASS or len(segments.keys() & _CODING) > 1
    return _Coding(marks, None if bypass else _most_zeros(stream, style))


def _most_zeros(stream: bytes, style: bytes) -> int:
    """How many zero bytes may follow each other: one for each empty packet, and a bit for each code block of another.

    The header of a packet that is not empty begins with a one, so that only one such packet counts.
    """
    layers, levels = int.from_bytes(style[2:4], "big"), style[5]
    right, bottom, left, top, width, height = (
        int.from_bytes(stream[start : start + 4], "big") for start in range(8, 32, 4)
    )
    width, height = min(width, max(right - left, 0)), min(height, max(bottom - top, 0))
    blocks = (ceil(width / (4 << style[6])) + 2) * (ceil(height / (4 << style[7])) + 2)
    precincts = 0
    for level in range(levels + 1):
        size = style[10 + level] if len(style) > 10 + level else 0xFF
        across, down = (
            _parts(length, last, levels - level + bits)
            for length, last, bits in ((width, right, size & 15), (height, bottom, size >> 4))
        )
        precincts += across * down
    return _ZEROS + layers * precincts + blocks // 8


def _parts(length: int, last: int, bits: int) -> int:
    """How many parts of the grid of the given size a length can touch that ends at `last` at most."""
    return min(ceil(length / (1 << bits)) + 1, ceil(last / (1 << bits)))


def _tile_count(stream: bytes) -> int:
    """The number of tiles that the header declares."""
    right, bottom, _, _, width, height, left, top = (
        int.from_bytes(stream[start : start + 4], "big") for start in range(8, 40, 4)
    )
    if not width or not height or stream[43:45] != b"\x01\x01":
        raise Refused("unreadable", _DAMAGED)
    count = ceil((right - left) / width) * ceil((bottom - top) / height)
    if not 1 <= count <= MOST_TILES:
        raise Refused("unreadable", _DAMAGED)
    return count


def _first_part(stream: bytes) -> int:
    """The position of the first tile part, after the segments of the main header."""
    return 2 + sum(4 + len(content) for _, content in _segments(stream))


def _segments(stream: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The marker and the content of each segment of the main header."""
    at = 2
    while (marker := stream[at : at + 2]) != _SOT:
        length = int.from_bytes(stream[at + 2 : at + 4], "big")
        if length < 2 or at >= len(stream):
            raise Refused("unreadable", _DAMAGED)
        yield marker, stream[at + 4 : at + 2 + length]
        at += 2 + length
