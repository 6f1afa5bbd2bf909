"""A server of the standard library that answers in a thread of its own while a test needs it, also over TLS."""

import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from pneumoctl.targets.aws.configuration import certificate as tls

Server = TypeVar("Server", bound=socketserver.BaseServer)


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Answer until the block ends, however it ends: a thread left over would accept what is meant for a later test."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def secure(server: socketserver.TCPServer, folder: Path, age: timedelta = timedelta()) -> bytes:
    """Answer over TLS. The self-signed certificate for 127.0.0.1 is kept in the folder; returns it as PEM."""
    certificate, key = tls.make(("127.0.0.1",), datetime.now(UTC) - age, "test")
    tls.save(folder, certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / tls.CERTIFICATE, folder / tls.KEY)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return certificate
