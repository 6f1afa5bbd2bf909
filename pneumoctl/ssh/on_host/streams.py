"""What a request says before its answer: events for the client, written to the agent's own pipe."""

from __future__ import annotations

import contextlib
import json
import os

from pneumoctl.ssh.on_host import TYPE_CHECKING
from pneumoctl.ssh.on_host.frames import EVENT, frame

if TYPE_CHECKING:
    from typing import IO

    from pneumoctl.ssh.on_host import Document

    Trees = IO[bytes]  # the packed trees of a request, one after another


class Terminated(BaseException):
    """SIGTERM: the time limit was reached, or the host shuts down."""


class Output:
    """Where the process of a request writes its frames; the reader may be gone."""

    def __init__(self, pipe: int, number: int) -> None:
        self._pipe, self._number = pipe, number

    def write(self, kind: str, document: Document) -> None:
        """Write a whole frame."""
        rest = memoryview(frame(kind, self._number, json.dumps(document).encode()))
        with contextlib.suppress(OSError):
            while rest:
                rest = rest[os.write(self._pipe, rest) :]


_outputs: list[Output] = []  # of this process: none outside of a request


def connect(output: Output) -> None:
    """Send the events of this process to `output`."""
    _outputs[:] = [output]


def emit(document: Document) -> None:
    """Tell the client about an event."""
    for output in _outputs:
        output.write(EVENT, document)
