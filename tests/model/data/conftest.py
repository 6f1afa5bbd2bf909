"""The server of one file, running."""

from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.model.data.publisher import Publisher
from tests.serving import serving


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    mine = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mine.asked.append({"range": self.headers.get("Range"), "if": self.headers.get("If-Range")})
            with suppress(BrokenPipeError, ConnectionResetError):
                (mine.faults.pop(0) if mine.faults else mine.answer)(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    mine.port = server.server_address[1]
    with serving(server):
        yield mine
