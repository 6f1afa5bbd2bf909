"""Check that a JPEG 2000 codestream is whole: every tile is there, and it ends where its parts end."""

from collections import Counter
from math import ceil

from model.images.limits import Refused

MOST_TILES = 4096  # the decoder allocates memory for each
_SOT, _EOC = b"\xff\x90", b"\xff\xd9"
_DAMAGED = "the JPEG 2000 data is damaged or incomplete"


def check_tiles(stream: bytes) -> None:
    """Refuse a codestream (ISO 15444-1 A.4 and A.5) that misses a tile, a part of one or its end.

    The decoder leaves missing tiles black without a word. Raises Refused.
    """
    expected = _tile_count(stream)
    at, parts, declared = _first_part(stream), Counter[int](), {}
    while stream[at : at + 2] == _SOT:
        tile, length = (int.from_bytes(stream[at + 4 : at + 6], "big"), int.from_bytes(stream[at + 6 : at + 10], "big"))
        parts[tile] += 1
        if count := stream[at + 11 : at + 12] and stream[at + 11]:
            declared[tile] = count
        if length == 0:  # up to the end
            at = stream.rfind(_EOC)
            break
        if length < 14:
            raise Refused("unreadable", _DAMAGED)
        at += length
    complete = set(parts) == set(range(expected)) and all(parts[tile] == count for tile, count in declared.items())
    if at < 0 or stream[at : at + 2] != _EOC or not complete:
        raise Refused("unreadable", _DAMAGED)


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
    at = 2
    while stream[at : at + 2] != _SOT:
        length = int.from_bytes(stream[at + 2 : at + 4], "big")
        if length < 2 or at >= len(stream):
            raise Refused("unreadable", _DAMAGED)
        at += 2 + length
    return at
