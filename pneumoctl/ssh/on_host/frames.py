"""Frames, in which the client and the agent on a host exchange requests and answers; damage to one is detected."""

from __future__ import annotations

import zlib

from pneumoctl.ssh.on_host import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    Frame = tuple[str, int, bytes]  # kind, number of the request, contents

PART, ASK = "part", "ask"  # from the client: a part of the trees of a request, and then the request itself
EVENT, ANSWER = "event", "answer"  # from the agent: what a request waits for, and then its answer
LONGEST_HEAD = 64
LONGEST = 1 << 28  # bytes


class Damaged(Exception):
    """What arrived is not what was sent."""


def frame(kind: str, number: int, contents: bytes) -> bytes:
    """A line with kind, number, size and checksum, then the contents."""
    head = f"{kind} {number} {len(contents)}"
    return f"{head} {_checksum(head, contents)}\n".encode() + contents


def _checksum(head: str, contents: bytes) -> str:
    return f"{zlib.crc32(contents, zlib.crc32(head.encode())):08x}"


class Reader:
    """Finds the frames in a stream of bytes. Raises Damaged at the first byte that belongs to no frame."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that this data completes."""
        self._bytes += data
        while True:
            line, newline, _ = self._bytes[:LONGEST_HEAD].partition(b"\n")
            if not newline and len(line) < LONGEST_HEAD:
                return
            kind, number, size, checksum = _parse(bytes(line))
            end = len(line) + 1 + size
            if len(self._bytes) < end:
                return
            contents = bytes(self._bytes[len(line) + 1 : end])
            if _checksum(f"{kind} {number} {size}", contents) != checksum:
                raise Damaged(f"the contents of a frame were changed: {kind} {number}")
            del self._bytes[:end]
            yield kind, number, contents


def _parse(line: bytes) -> tuple[str, int, int, str]:
    try:
        kind, number, size, checksum = line.decode("ascii").split(" ")
        if kind in (PART, ASK, EVENT, ANSWER) and int(size) <= LONGEST:
            return kind, int(number), int(size), checksum
    except ValueError:
        pass
    raise Damaged(f"this is not the beginning of a frame: {line!r}")
