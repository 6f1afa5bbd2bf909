"""HTTP over a Unix socket with the standard library alone: the programs that probe a service are started often."""

import socket
from http.client import HTTPConnection
from pathlib import Path


class UnixConnection(HTTPConnection):
    """A connection to the server that listens on the socket at `path`."""

    def __init__(self, path: Path, timeout: float, host: str = "localhost") -> None:
        super().__init__(host, timeout=timeout)
        self._path = str(path)

    def connect(self) -> None:
        """See HTTPConnection."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
