"""A server of one file with faults, in place of the publisher of a data set."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from model.data.download import Download, RetryPolicy

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes
HASTE = RetryPolicy(connect=2, read=0.5, window=0.4, slowest=50_000, tries=3, pause=0.01)


@dataclass
class Publisher:
    """A server of one file. `faults`: handlers of the next requests, one each; later requests succeed."""

    content: bytes = CONTENT
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})
    ranges: bool = True
    faults: list[Callable] = field(default_factory=list)
    asked: list[dict] = field(default_factory=list)
    port: int = 0

    def file(self, **changes: object) -> Download:
        right = hashlib.sha256(CONTENT).hexdigest()
        address = f"http://127.0.0.1:{self.port}/file"
        return Download(**{"name": "file", "address": address, "algorithm": "sha256", "checksum": right, **changes})

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """A correct response, with ranges and If-Range (RFC 9110) unless disabled."""
        first, status = 0, 200
        wanted = request.headers.get("Range")
        if self.ranges and wanted and request.headers.get("If-Range", self.validator()) == self.validator():
            first, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            if first >= len(self.content):
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{len(self.content)}")
                request.send_header("Content-Length", "0")
                return request.end_headers()
        self.start(request, status, first)
        return self.send(request, self.content[first:])

    def validator(self) -> str:
        return self.headers.get("ETag") or self.headers.get("Last-Modified", "")

    def start(self, request: BaseHTTPRequestHandler, status: int, first: int = 0) -> None:
        request.send_response(status)
        for name, value in self.headers.items():
            request.send_header(name, value)
        if status == 206:
            request.send_header("Content-Range", f"bytes {first}-{len(self.content) - 1}/{len(self.content)}")
        request.send_header("Content-Length", str(len(self.content) - first))
        request.end_headers()

    def send(self, request: BaseHTTPRequestHandler, data: bytes) -> None:
        # Counted first: the client can end before this thread continues after the last write.
        self.asked[-1]["sent"] = self.asked[-1].get("sent", 0) + len(data)
        request.wfile.write(data)


def cut(publisher: Publisher, after: int) -> Callable:
    """Announce the full length, send `after` bytes, and close the connection."""

    def fault(request: BaseHTTPRequestHandler) -> None:
        publisher.start(request, 200)
        publisher.send(request, publisher.content[:after])

    return fault


def status(code: int, **headers: str) -> Callable:
    def fault(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in {"Content-Length": "0", **headers}.items():
            request.send_header(name, value)
        request.end_headers()

    return fault


def only(directory: Path, *names: str) -> bool:
    return {path.name for path in directory.iterdir()} == set(names)
