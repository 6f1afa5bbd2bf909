"""HTTP to a prediction API over a Unix socket: only users who may write to its folder can listen on it."""

import socket
from pathlib import Path
from typing import Any


def pool(path: Path, **options: Any) -> Any:
    """A urllib3 pool manager whose connections all go to the socket at `path`, whatever host the URL names."""
    import urllib3
    from urllib3.connection import HTTPConnection
    from urllib3.connectionpool import HTTPConnectionPool
    from urllib3.exceptions import NewConnectionError

    class Connection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connected.settimeout(self.timeout if isinstance(self.timeout, int | float) else None)
                connected.connect(str(path))
            except OSError as error:
                connected.close()
                raise NewConnectionError(self, f"{path}: {error.strerror or error}") from error
            return connected

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    manager = urllib3.PoolManager(**options)
    manager.pool_classes_by_scheme = {"http": Pool}
    return manager
