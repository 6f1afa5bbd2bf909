"""The agent's input and output: the trees that follow a request on stdin, and lines of JSON on stdout."""

from __future__ import annotations

import contextlib
import json
import sys

from pneumoctl.ssh.on_host import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import IO

    from pneumoctl.ssh.on_host import Document


class Terminated(BaseException):
    """SIGTERM: the time limit was reached, or the host shuts down."""


def emit(document: Document) -> None:
    """Write one line of JSON; the reader may be gone."""
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()


class Trees:
    """The packed trees that follow a request on stdin, `size` bytes in all."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._left = stream, size

    def read(self, size: int) -> bytes:
        """At most `size` of the bytes; none at the end, or if the client is gone."""
        part = self._stream.read(min(size, self._left))
        self._left -= len(part)
        return part

    def read_rest(self) -> None:
        """Discard what no step has read: sshd closes the whole connection if data for an ended command arrives."""
        while self.read(1 << 20):
            pass
