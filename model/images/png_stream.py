"""Check that a PNG file is whole: each of its chunks, up to the last one."""

import zlib

from model.images.limits import Refused

_SIGNATURE = 8  # bytes before the first chunk
_ANCILLARY = 0x20  # this bit of the first letter of a chunk's type
_DAMAGED = "the PNG file is damaged or incomplete"


def check_chunks(content: bytes) -> None:
    """Raise Refused if a chunk is cut, the last one is missing, or the checksum of a critical chunk is wrong.

    The decoder does not notice: it stops at the last pixel and does not read what follows, such as the checksum.
    Critical chunks are those without which a picture cannot be decoded (PNG, third edition, section 5.4).
    """
    at, kind, view = _SIGNATURE, b"", memoryview(content)
    while kind != b"IEND":
        length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        end = at + 8 + length
        if end + 4 > len(content):
            raise Refused("unreadable", _DAMAGED)
        checksum = int.from_bytes(content[end : end + 4], "big")
        if not kind[0] & _ANCILLARY and checksum != zlib.crc32(view[at + 4 : end]):
            raise Refused("unreadable", _DAMAGED)
        at = end + 4
