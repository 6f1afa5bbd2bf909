"""A socket that notices by itself that the other end is gone."""

import time
from contextlib import suppress
from typing import Any

from pneumoctl.ssh import keys

SILENCE = keys.ALIVE * keys.SILENCES + 1.0  # seconds without a byte after which a link counts as cut


class Line:
    """A socket that hears whether the other end lives: silent for SILENCE seconds, it is dead.

    TCP alone notices a cut link after minutes, and one behind the bastion never.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._heard = time.monotonic()

    def silent(self) -> float:
        """Seconds since the other end last said anything."""
        return time.monotonic() - self._heard

    def recv(self, size: int) -> bytes:
        """As a socket's; an end of file when the other end is dead."""
        try:
            data = bytes(self._sock.recv(size))
        except TimeoutError:
            if self.silent() > SILENCE:
                return b""
            raise
        self._heard = time.monotonic()
        return data

    def send(self, data: bytes) -> int:
        """As a socket's; ConnectionResetError when the other end is dead."""
        try:
            return int(self._sock.send(data))
        except TimeoutError:
            if self.silent() > SILENCE:
                raise ConnectionResetError("the link is cut") from None
            raise

    def close(self) -> None:
        """As a socket's; quiet where there is nobody left to say goodbye to: behind the bastion, that is a message."""
        from paramiko import SSHException

        with suppress(SSHException, EOFError, OSError):
            self._sock.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)
