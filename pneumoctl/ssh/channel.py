"""Move bytes between us and one command on a host until it has ended or its time is up."""

import time
from collections.abc import Iterator
from typing import IO, Any

LATE = 124  # the exit code of a command whose time was up
LINGER = 1.0  # seconds to wait for more output of a command that has ended but whose children hold its pipes
CHUNK = 32768


def pump(channel: Any, stdin: Iterator[bytes], stdout: IO[bytes], limit: float, stall: float) -> tuple[int, bytes]:
    """Returns exit code and stderr of the command that was started on a paramiko channel; -1 if the channel broke.

    LATE after `limit` seconds in all, or after `stall` seconds in which nothing moved.
    """
    stderr, rest, sending = bytearray(), b"", True
    began = moved = time.monotonic()
    while True:
        ended = channel.exit_status_ready()  # asked before reading: all that it said is there by then
        busy = False
        if channel.recv_ready():
            busy = bool(stdout.write(channel.recv(CHUNK)))
        if channel.recv_stderr_ready():
            stderr += channel.recv_stderr(CHUNK)
            busy = True
        if sending and not ended and channel.send_ready():
            rest, sending = _send(channel, rest or next(stdin, b""))
            busy = True
        now = time.monotonic()
        if busy:
            moved = now
        elif ended and (channel.eof_received or channel.closed or now - moved > LINGER):
            return channel.recv_exit_status(), bytes(stderr)
        elif now - began > limit or now - moved > stall:
            return LATE, bytes(stderr)
        else:
            time.sleep(0.005)


def _send(channel: Any, data: bytes) -> tuple[bytes, bool]:
    """Send a part; returns what is left, and whether there may be more. No data is the end of the input."""
    try:
        if data:
            return data[channel.send(data) :], True
        channel.shutdown_write()
    except OSError:  # the command has ended without reading all: its exit code tells why
        pass
    return b"", False
