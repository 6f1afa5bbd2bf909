"""HTTP to a Unix socket: who may not write to its folder cannot listen there, as anybody can on a port."""

import socket
from pathlib import Path
from typing import Any


def pool(path: Path, **options: Any) -> Any:
    """A urllib3 pool manager all of whose connections go to the socket at `path`, whatever the URL names."""
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
