"""Limit what a sender can take: connections, the time and size of what it sends. pynetdicom waits for all of it."""

import logging
import socket
import time
from contextlib import suppress
from socketserver import BaseServer
from typing import Any

from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

log = logging.getLogger(__name__)
PDU_BYTES = 1 << 20  # eight times what is negotiated; a request of an association may be longer than a part of a film
PDU_SECONDS = 30.0  # for one part of a message, once it began
MESSAGE_SECONDS = 300.0  # for a whole film: 64 MB at 2 Mbit/s
_CHUNK = 64 * 1024


class LimitExceeded(OSError):
    """The sender sent too much or too slowly; pynetdicom then closes the connection."""


class LimitedSocket(AssociationSocket):
    """A connection that ends if a message of the sender is too large or takes too long."""

    film_bytes = 0  # set by LimitedHandler

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.begin()

    def begin(self) -> None:
        """A message is complete: what comes now is of the next one."""
        self._bytes = 0
        self._deadline: float | None = None

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes, or fewer if the connection ends. Raises LimitExceeded, or another OSError."""
        connected = self.socket
        if connected is None:
            raise LimitExceeded("the connection is closed")
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + MESSAGE_SECONDS
        deadline = min(now + PDU_SECONDS, self._deadline)
        self._bytes += nr_bytes
        if nr_bytes > PDU_BYTES or self._bytes > self.film_bytes + PDU_BYTES:
            log.warning("a sender sent more than a film may have")
            raise LimitExceeded("too large")
        received = bytearray()
        while len(received) < nr_bytes:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                log.warning("a sender was too slow")
                raise LimitExceeded("too slow")
            connected.settimeout(remaining)
            part = connected.recv(min(_CHUNK, nr_bytes - len(received)))
            if not part:
                break
            received += part
        return received

    def _shutdown_socket(self) -> None:
        """Close the connection, also if the sender has: pynetdicom would leave that to the garbage collector."""
        connected = self.socket
        if connected is None:
            return
        with suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)
        connected.close()


class LimitedHandler(RequestHandler):
    """Gives each association a limited connection."""

    server: "LimitedServer"

    def _create_association(self) -> Any:
        association = super()._create_association()
        limited = LimitedSocket(association, client_socket=self.request)
        limited.film_bytes = self.server.film_bytes
        association.dul.event_queue.get_nowait()  # both have announced the connection
        association.dul.socket = limited
        return association


class LimitedServer(ThreadedAssociationServer):
    """Accepts a limited number of connections, also of those that have not begun an association."""

    request_queue_size = 64
    daemon_threads = True
    film_bytes = 0
    connections = 0

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept a connection. The handshake of TLS comes with the first read: nobody else must wait for it."""
        assert self.socket is not None
        connected, address = self.socket.accept()
        try:
            connected.settimeout(PDU_SECONDS)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.ssl_context:
                connected = self.ssl_context.wrap_socket(connected, server_side=True, do_handshake_on_connect=False)
        except OSError:
            connected.close()
            raise
        return connected, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for another connection."""
        if len(self.active_associations) < self.connections:
            return True
        log.warning("a connection was closed: there are %d already", self.connections)
        return False

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin the association, which has a thread of its own, so that the next connection is counted beside it."""
        self.process_request_thread(request, client_address)

    def shutdown(self) -> None:
        """End `serve_forever`. Associations go on."""
        BaseServer.shutdown(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log an error without what was sent."""
        log.warning("a connection failed")
