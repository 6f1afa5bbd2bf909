"""A socket that detects a peer that is gone."""

import time
from contextlib import suppress
from typing import Any

from pneumoctl.ssh import keys

SILENCE = keys.ALIVE * keys.SILENCES + 1.0  # seconds without a byte after which a connection counts as lost


class KeepaliveSocket:
    """A socket whose peer counts as gone after SILENCE seconds without a byte.

    TCP alone detects a lost connection after minutes, and never one behind the bastion.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._received = time.monotonic()

    def silent(self) -> float:
        """Seconds since the last byte from the peer."""
        return time.monotonic() - self._received

    def recv(self, size: int) -> bytes:
        """Like a socket's; reports an end of file when the peer is gone."""
        try:
            data = bytes(self._sock.recv(size))
        except TimeoutError:
            if self.silent() > SILENCE:
                return b""
            raise
        self._received = time.monotonic()
        return data

    def send(self, data: bytes) -> int:
        """Like a socket's; raises ConnectionResetError when the peer is gone."""
        try:
            return int(self._sock.send(data))
        except TimeoutError:
            if self.silent() > SILENCE:
                raise ConnectionResetError("the connection was lost") from None
            raise

    def close(self) -> None:
        """Like a socket's, without errors: closing a channel sends a message, which fails on a lost connection."""
        from paramiko import SSHException

        with suppress(SSHException, EOFError, OSError):
            self._sock.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)
