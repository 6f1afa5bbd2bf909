"""Move bytes to and from one command on a host until it ends or reaches a time limit."""

import time
from collections.abc import Iterator
from typing import IO, Any

LATE = 124  # the exit code of a command that reached a time limit
LINGER = 1.0  # seconds to wait for more output after the command has ended while its children hold its pipes open
CHUNK = 32768


def pump(channel: Any, stdin: Iterator[bytes], stdout: IO[bytes], limit: float, stall: float) -> tuple[int, bytes]:
    """Returns the exit code and stderr of the command that was started on a paramiko channel.

    The command must read all input and know how much that is: the input is never ended. If this thread is slow,
    paramiko may send data or the end of the input after it has answered the end of the command, and sshd then closes
    the whole connection (paramiko's issue 1705).

    The code is -1 if the channel broke, and LATE after `limit` seconds or after `stall` seconds without any data.
    """
    stderr, rest, sending = bytearray(), b"", True
    began = moved = time.monotonic()
    while True:
        ended = channel.exit_status_ready()  # checked before reading: if it has ended, all its output is readable now
        busy = False
        if channel.recv_ready():
            busy = bool(stdout.write(channel.recv(CHUNK)))
        if channel.recv_stderr_ready():
            stderr += channel.recv_stderr(CHUNK)
            busy = True
        if sending and not ended and channel.send_ready():
            rest = rest or next(stdin, b"")
            rest, sending = _send(channel, rest), bool(rest)
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


def _send(channel: Any, data: bytes) -> bytes:
    """Send a part; returns the unsent rest."""
    try:
        return data[channel.send(data) :] if data else b""
    except OSError:  # the command ended without reading all of its input; its exit code says why
        return b""
