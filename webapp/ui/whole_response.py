"""Bound the time of a whole response: the timeout of a socket is only that of one read, and begins anew at each."""

import http.client
import io
import socket
import time
from typing import Any

import urllib3


class _TimedReader(io.RawIOBase):
    """Reads from a socket until its timeout, counted from the beginning, has passed; then raises TimeoutError."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        timeout = sock.gettimeout()
        self._sock = sock
        self._raw = raw
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._deadline is not None:
            remaining = self._deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError("the response is not complete")
            self._sock.settimeout(remaining)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response whose headers and body must arrive within the timeout that the socket has at the beginning."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_TimedReader(sock, self.fp.detach()))  # type: ignore[assignment,arg-type,attr-defined]


def bound(manager: urllib3.PoolManager) -> urllib3.PoolManager:
    """The pool manager, whose read timeouts are from now on those of whole responses."""
    manager.pool_classes_by_scheme = {
        scheme: type("Pool", (pool,), {"ConnectionCls": _bounded(pool.ConnectionCls)})
        for scheme, pool in manager.pool_classes_by_scheme.items()
    }
    return manager


def _bounded(connection: Any) -> type:
    return type("Connection", (connection,), {"response_class": _Response})
