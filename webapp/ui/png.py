"""Check that a PNG from the API is whole: a browser without scripts shows a part of one that is cut off."""

import zlib
from struct import unpack

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by colour type
_PART = 1 << 16  # bytes that are inflated at once


def is_whole(content: bytes) -> bool:
    """Whether each chunk up to the last one is there with its checksum, and the pixels are as many as it declares.

    An interlaced picture, which the API never sends, is not whole.
    """
    chunks = _chunks(content)
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        return False
    width, height, depth, colours, _, _, interlaced = unpack(">IIBBBBB", chunks[0][1])
    row = 1 + (width * _CHANNELS.get(colours, 0) * depth + 7) // 8  # a filter byte and the pixels
    return not interlaced and _inflates_to([part for kind, part in chunks if kind == b"IDAT"], row * height)


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """The type and the data of each chunk; empty if one is cut off or damaged, or the last one is missing."""
    chunks: list[tuple[bytes, bytes]] = []
    at, kind = len(SIGNATURE), b""
    while content.startswith(SIGNATURE) and kind != b"IEND":
        length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        data, checksum = content[at + 8 : at + 8 + length], content[at + 8 + length : at + 12 + length]
        if len(checksum) < 4 or int.from_bytes(checksum, "big") != zlib.crc32(kind + data):
            return []
        chunks.append((kind, data))
        at += 12 + length
    return chunks


def _inflates_to(parts: list[bytes], size: int) -> bool:
    """Whether compressed parts are one whole stream of so many bytes; what is longer is not read to its end."""
    stream, found = zlib.decompressobj(), 0
    try:
        for part in parts:
            while part and found <= size:
                found += len(stream.decompress(part, _PART))
                part = stream.unconsumed_tail
    except zlib.error:
        return False
    return stream.eof and found == size
