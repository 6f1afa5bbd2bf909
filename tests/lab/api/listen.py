"""An HTTP server that keeps connections open and passes on complete requests.

werkzeug's development server closes every connection after a wait of 10 ms, and an apply makes 1,000 requests.
"""

import sys
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import time
from typing import Any

from tests.lab.api.answers import Answer
from tests.lab.api.request import Request

Answering = Callable[[Request], Answer | None]


class Server(ThreadingHTTPServer):
    """The server. `answering` returns the answer, or None to close the connection; `skew` shifts the Date header."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], answering: Answering, skew: Callable[[], float]) -> None:
        super().__init__(address, Handler)
        self.answering = answering
        self.skew = skew

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that was killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body in one packet
    server: Server

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def handle_expect_100(self) -> bool:
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, path, query, headers, self._body(headers), self.client_address[0])
        answer = self.server.answering(request)
        if answer is None:
            self.close_connection = True
        else:
            self._send(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _serve

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(headers.get("content-length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _send(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            if name.lower() not in ("date", "connection", "content-length", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Date", formatdate(time() + self.server.skew(), usegmt=True))
        empty = answer.status in (204, 304)
        if not empty:
            self.send_header("Content-Length", self._length(answer))
        self.end_headers()
        if self.command != "HEAD" and not empty:
            self.wfile.write(answer.body)

    def _length(self, answer: Answer) -> str:
        """The Content-Length. For HEAD it is the length of the answer to GET, which moto gives."""
        length = next((value for name, value in answer.headers if name.lower() == "content-length"), "")
        return length if length and self.command == "HEAD" else str(len(answer.body))

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: the calls are recorded in calls.jsonl."""
