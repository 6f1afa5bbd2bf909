"""Check that a JPEG stream is whole: its headers, and its entropy-coded data as far as a decoder tells."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from model.images.limits import Refused

_BASELINE, _EXTENDED, _PROGRESSIVE, LOSSLESS, _JPEG_LS = 0xC0, 0xC1, 0xC2, 0xC3, 0xF7
_HUFFMAN = {_BASELINE, _EXTENDED, _PROGRESSIVE, LOSSLESS}  # decoded one after the other, not as differences
TABLES, SCAN = 0xC4, 0xDA
_AC = 0x10  # added to the number of a table: it is of coefficients other than the first
_NO_FRAME = {0xC4, 0xC8, 0xCC}  # among C0 to CF: Huffman tables, reserved, arithmetic conditioning
_NO_LENGTH = {0x00, 0x01, *range(0xD0, 0xDA)}  # markers without a segment: none of them belongs before the frame
DAMAGED = "the JPEG data is damaged or incomplete"
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)  # no restart either
_EQUAL = 24  # coefficients in a row that have one value other than 0; no picture has as many
_UNIT = 10  # blocks that belong together at most (ISO 10918-1 B.2.3)
_PROGRESSIVE_ZEROS, _REFINING_ZEROS = 64, 256  # bytes in a row; films have 3 and 117 at most
_LS_SCAN_HEADER = 10  # bytes, its marker included, for one channel (ISO 14495-1 C.2.3)


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
    for marker, content, end in segments(stream):
        is_frame = marker == _JPEG_LS or (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME)
        if is_frame and len(content) >= 6:
            rows, columns = (int.from_bytes(content[start : start + 2], "big") for start in (1, 3))
            return Frame(end - len(content), marker, content[0], rows, columns, content[5])
    return None


def check_entropy(stream: bytes) -> None:
    """Refuse a JPEG whose data ends too early or late, cannot be decoded, or is not Huffman-coded.

    The decoders replace what is missing by grey and only count a warning; libjpeg-turbo's strict mode raises an error.
    It reads 8 bits only. How data is coded does not depend on the precision, so another one is replaced for the check.
    Raises Refused.
    """
    header = _check_structure(stream)
    if header.bits != 8:
        stream = stream[: header.at] + b"\x08" + stream[header.at + 1 :]
    smallest = {} if header.kind == LOSSLESS else {"min_height": 1, "min_width": 1, "min_factor": 1}
    _decode_strictly(stream, header, **smallest)


def grey_pixels(stream: bytes) -> np.ndarray:
    """The picture of a JPEG with one channel of 8 bits, uint8 [rows, columns], checked like `check_entropy`.

    The strict decoder gives the same values as Pillow's, so that the stream is decoded once. Raises Refused.
    """
    return _decode_strictly(stream, _check_structure(stream))


def _check_structure(stream: bytes) -> Frame:
    """The frame header, unless headers or scans show that the stream is damaged. Raises Refused."""
    header = frame(stream)
    if header is not None and header.kind not in _HUFFMAN:  # decoders do not notice that arithmetic codes end early
        raise Refused("unreadable", "the JPEG data is coded in an unsupported way")
    if header is None or (header.kind == _PROGRESSIVE and not _is_refined(stream, header.channels)):
        raise Refused("unreadable", DAMAGED)
    if header.kind in (_BASELINE, _EXTENDED) and not _is_possible(stream):
        raise Refused("unreadable", DAMAGED)
    if header.kind == _PROGRESSIVE and not _is_possible_progressive(stream):
        raise Refused("unreadable", DAMAGED)
    return header


def _decode_strictly(stream: bytes, header: Frame, **scaled: int) -> np.ndarray:
    import simplejpeg

    try:
        if simplejpeg.decode_jpeg_header(stream)[:2] != (header.rows, header.columns):
            raise Refused("unreadable", DAMAGED)
        pixels: np.ndarray = simplejpeg.decode_jpeg(stream, "GRAY", strict=True, **scaled)
    except ValueError as error:
        raise Refused("unreadable", DAMAGED) from error
    return pixels[:, :, 0]


def _is_possible(stream: bytes) -> bool:
    """Whether each scan has its tables, and no more zero bytes in a row than an encoder writes.

    A zero bit is the first code of each table. If the first code of other coefficients ends a block in every table of a
    scan, zeros are a flat picture. Otherwise some block reads zeros as 63 coefficients of one value: no picture has 24.
    """
    first: dict[int, tuple[int, int]] = {}  # of each table: the length of its first code, and what that stands for
    scans = 0
    for marker, content, end in segments(stream):
        if marker == TABLES:
            first |= _first_codes(content)
        elif marker == SCAN:
            scans += 1
            pairs = [(names >> 4, _AC + (names & 15)) for names in content[2 : 1 + 2 * content[0] : 2]]
            if not {name for pair in pairs for name in pair} <= first.keys():
                return False  # the decoder takes the usual ones
            most = _most_zeros([(first[dc], first[ac]) for dc, ac in pairs])
            if most is not None and stream.find(bytes(most), end, _scan_end(stream, end)) >= 0:
                return False
    return scans > 0


def _first_codes(content: bytes) -> dict[int, tuple[int, int]]:
    """The length and the symbol of the first code of each table in a segment of Huffman tables."""
    first = {}
    while len(content) > 17:
        length = next((at for at in range(1, 17) if content[at]), 16)
        first[content[0]] = (length, content[17])
        content = content[17 + sum(content[1:17]) :]
    return first


def _most_zeros(codes: list[tuple[tuple[int, int], tuple[int, int]]]) -> int | None:
    """The number of zero bytes that the scan of a picture has not, None if it may have any number.

    codes: of each channel, the first codes for the first and for the other coefficients of a block. A run of zeros may
    begin and end within a block with long codes; between them are at most the other blocks of a unit, all empty.
    """
    if not any(symbol & 15 for _, (_, symbol) in codes):
        return None
    block = max(sum(dc) + _EQUAL * (length + (symbol & 15)) for dc, (length, symbol) in codes)
    others = _UNIT * max(sum(dc) + length for dc, (length, _) in codes)
    return (2 * block + others + 7) // 8


def _is_refined(stream: bytes, channels: int) -> bool:
    """Whether the scans of a progressive stream code every bit of every coefficient (ISO 10918-1 G.1.1)."""
    missing = {(channel, coefficient): 1 for channel in range(channels) for coefficient in range(64)}
    names: dict[int, int] = {}
    for marker, content, _ in segments(stream):
        if marker == SCAN:
            selectors, first, last, bits = _scan_header(content)
            for selector in selectors:
                channel = names.setdefault(selector, len(names))
                for coefficient in range(first, last + 1):
                    missing[channel, coefficient] = bits & 15
    return not any(missing.values())


def _is_possible_progressive(stream: bytes) -> bool:
    """Whether each scan of a progressive stream has its tables, and no more zero bytes in a row than an encoder writes.

    If the first codes stand for no difference or end a block, zeros are a flat part, as are bits that refine the first
    coefficients. Encoders write at most 937 bits in a row that refine others.
    """
    first: dict[int, tuple[int, int]] = {}
    for marker, content, end in segments(stream):
        if marker == TABLES:
            first |= _first_codes(content)
        elif marker == SCAN:
            channels, coefficient, _, bits = _scan_header(content)
            is_refining = bits >> 4 > 0
            if is_refining and coefficient == 0:
                continue
            names = content[2 : 1 + 2 * len(channels) : 2]
            tables = {_AC + (name & 15) if coefficient else name >> 4 for name in names}
            if not tables <= first.keys():
                return False
            most = bytes(_REFINING_ZEROS if is_refining else _PROGRESSIVE_ZEROS)
            is_flat = not any(first[table][1] for table in tables)
            if not is_flat and stream.find(most, end, _scan_end(stream, end)) >= 0:
                return False
    return True


def _scan_header(content: bytes) -> tuple[bytes, int, int, int]:
    """The channels, the first and the last coefficient and the bits of a scan (ISO 10918-1 B.2.3)."""
    first, last, bits = content[1 + 2 * content[0] :][:3]
    return content[1 : 1 + 2 * content[0] : 2], first, last, bits


def check_ls_end(stream: bytes) -> None:
    """Refuse JPEG-LS data without an end of image: CharLS decodes even a small one for up to half a minute.

    ISO 14495-1 demands one; in coded data, a byte FF is followed by less than 80. Raises Refused.
    """
    if stream.rfind(b"\xff\xd9") < stream.rfind(b"\xff\xda") + _LS_SCAN_HEADER:
        raise Refused("unreadable", DAMAGED)


def segments(stream: bytes) -> Iterator[tuple[int, bytes, int]]:
    """The marker, the content and the end of each segment, up to the first that is none; coded data is passed over."""
    at = 2
    while at + 4 <= len(stream) and stream[at] == 0xFF:
        marker, end = stream[at + 1], at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _NO_LENGTH or end < at + 4:
            return
        else:
            yield marker, stream[at + 4 : end], end
            at = _scan_end(stream, end) if marker == SCAN else end


def _scan_end(stream: bytes, start: int) -> int:
    """The end of the coded data of a scan: the position of the next marker that is no restart."""
    after = _END_OF_SCAN.search(stream, start)
    return after.start() if after else len(stream)
