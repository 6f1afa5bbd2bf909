"""Downloads from a faulty server: the file is complete and correct, or the error is clear and the part is kept."""

import hashlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from model.data.download import Download, RetryPolicy, fetch
from model.data.partial_file import FetchError

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
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield mine
    server.shutdown()
    thread.join()
    server.server_close()


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


def test_a_file_arrives_whole_and_progress_counts_its_bytes(publisher: Publisher, tmp_path: Path) -> None:
    progress: list[tuple] = []
    path = fetch(
        publisher.file(size=len(CONTENT)), tmp_path / "new" / "place", lambda *one: progress.append(one), HASTE
    )
    assert path.read_bytes() == CONTENT
    assert progress[0] == (0, len(CONTENT)) and progress[-1] == (len(CONTENT), len(CONTENT))
    assert progress == sorted(progress)
    assert only(path.parent, "file")


def test_a_complete_file_is_not_requested_again(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    fetch(publisher.file(), tmp_path, policy=HASTE)
    assert publisher.asked == []


def test_another_file_of_the_same_name_is_kept_and_reported(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(FetchError, match="not the published file"):
        fetch(publisher.file(), tmp_path, policy=HASTE)
    assert (tmp_path / "file").read_bytes() == b"mine" and publisher.asked == []


@pytest.mark.parametrize("headers", [{"ETag": '"one"'}, {"Last-Modified": "Sat, 01 Nov 2025 10:00:00 GMT"}, {}])
def test_a_cut_connection_is_continued_where_it_ended(publisher: Publisher, tmp_path: Path, headers: dict) -> None:
    publisher.headers = headers
    publisher.faults = [cut(publisher, 200_000)]
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert publisher.asked[1]["range"] == "bytes=200000-"
    assert publisher.asked[1]["if"] == (next(iter(headers.values())) if headers else None)
    assert publisher.asked[1]["sent"] == len(CONTENT) - 200_000


def test_a_weak_etag_is_not_used_to_continue(publisher: Publisher, tmp_path: Path) -> None:
    publisher.headers = {"ETag": 'W/"one"'}
    publisher.faults = [cut(publisher, 100_000)]
    fetch(publisher.file(), tmp_path, policy=HASTE)
    assert publisher.asked[1]["if"] is None


def killed_after(publisher: Publisher, directory: Path, count: int) -> None:
    """Download in a separate process from a slow server, and SIGKILL it once the part has `count` bytes."""
    reached = threading.Event()

    def slow(request: BaseHTTPRequestHandler) -> None:
        publisher.start(request, 200)
        for offset in range(0, len(publisher.content), 10_000):
            publisher.send(request, publisher.content[offset : offset + 10_000])
            time.sleep(0.01)
            if reached.is_set():
                return

    publisher.faults = [slow]
    wanted = publisher.file()
    code = f"from pathlib import Path; from model.data.download import *; fetch({wanted!r}, Path({str(directory)!r}))"
    child = subprocess.Popen([sys.executable, "-c", code])
    part = directory / "file.part"
    try:
        until = time.monotonic() + 600
        while not (part.exists() and part.stat().st_size >= count):
            assert time.monotonic() < until and child.poll() is None
            time.sleep(0.01)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        reached.set()


def test_after_sigkill_only_the_rest_is_transferred(publisher: Publisher, tmp_path: Path) -> None:
    killed_after(publisher, tmp_path, 150_000)
    partial_size = (tmp_path / "file.part").stat().st_size
    assert 150_000 <= partial_size < len(CONTENT) and not (tmp_path / "file").exists()
    publisher.asked.clear()
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert [request["sent"] for request in publisher.asked] == [len(CONTENT) - partial_size]
    assert only(tmp_path, "file")


def begun(directory: Path, publisher: Publisher, content: bytes, **note: object) -> None:
    """The remains of a killed process: the part and its description."""
    (directory / "file.part").write_bytes(content)
    state = {"address": publisher.file().address, "validator": '"one"', "total": len(CONTENT), **note}
    (directory / "file.part.json").write_text(json.dumps(state))


def test_a_kill_after_the_last_byte_needs_no_further_request(publisher: Publisher, tmp_path: Path) -> None:
    begun(tmp_path, publisher, CONTENT)
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert publisher.asked == []


def test_a_file_changed_at_the_publisher_is_restarted(publisher: Publisher, tmp_path: Path) -> None:
    """The part is of another version: If-Range makes the server send all of the new one."""
    begun(tmp_path, publisher, b"x" * 99_999, validator='"zero"')
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert publisher.asked[0]["range"] == "bytes=99999-" and publisher.asked[0]["sent"] == len(CONTENT)


def test_a_file_of_another_size_is_restarted_without_a_validator(publisher: Publisher, tmp_path: Path) -> None:
    publisher.headers = {}
    begun(tmp_path, publisher, b"x" * 99_999, validator="", total=600_000)
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert [request["range"] for request in publisher.asked] == ["bytes=99999-", None]


def test_a_part_longer_than_the_file_is_restarted(publisher: Publisher, tmp_path: Path) -> None:
    begun(tmp_path, publisher, b"x" * 600_000, total=700_000)
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT  # after 416


@pytest.mark.parametrize("note", ["", "{", "[]", '{"else": 1}', '{"address": "http://other/", "total": 512000}'])
def test_a_part_of_unknown_origin_is_restarted(publisher: Publisher, tmp_path: Path, note: str) -> None:
    (tmp_path / "file.part").write_bytes(b"x" * 1000)
    (tmp_path / "file.part.json").write_text(note)
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert publisher.asked[0]["range"] is None


def test_a_server_without_ranges_restarts_the_download(publisher: Publisher, tmp_path: Path) -> None:
    publisher.ranges, publisher.faults = False, [cut(publisher, 200_000)]
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert publisher.asked[1]["sent"] == len(CONTENT)


def test_a_range_with_the_wrong_offset_is_rejected(publisher: Publisher, tmp_path: Path) -> None:
    def shifted(request: BaseHTTPRequestHandler) -> None:
        publisher.start(request, 206, first=5)
        publisher.send(request, publisher.content[5:])

    publisher.faults = [cut(publisher, 200_000), shifted]
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT


def test_a_range_shorter_than_asked_is_continued(publisher: Publisher, tmp_path: Path) -> None:
    """A server may answer less than the rest, and say so."""

    def some(request: BaseHTTPRequestHandler) -> None:
        request.send_response(206)
        request.send_header("Content-Range", f"bytes 200000-299999/{len(CONTENT)}")
        request.send_header("Content-Length", "100000")
        request.end_headers()
        publisher.send(request, CONTENT[200_000:300_000])

    publisher.faults = [cut(publisher, 200_000), some]
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert publisher.asked[2]["range"] == "bytes=300000-"


def test_a_file_of_unknown_length_arrives(publisher: Publisher, tmp_path: Path) -> None:
    def chunked(request: BaseHTTPRequestHandler) -> None:
        request.protocol_version = "HTTP/1.1"
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for offset in range(0, len(CONTENT), 100_000):
            piece = CONTENT[offset : offset + 100_000]
            request.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        request.wfile.write(b"0\r\n\r\n")

    publisher.faults = [chunked]
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_temporary_failure_is_retried(publisher: Publisher, tmp_path: Path, code: int) -> None:
    publisher.faults = [status(code, **{"Retry-After": "1"}), status(code)]
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_a_client_error_is_reported_immediately(publisher: Publisher, tmp_path: Path, code: int) -> None:
    publisher.faults = [status(code)]
    with pytest.raises(FetchError, match=f"answered {code}") as caught:
        fetch(publisher.file(), tmp_path, policy=HASTE)
    assert caught.value.hint and len(publisher.asked) == 1
    assert not (tmp_path / "file").exists()


def test_a_server_that_keeps_failing_is_given_up_and_the_part_is_kept(publisher: Publisher, tmp_path: Path) -> None:
    publisher.faults = [cut(publisher, 200_000), *[status(503)] * 9]
    with pytest.raises(FetchError, match=r"503.*200,000 bytes were received"):
        fetch(publisher.file(), tmp_path, policy=HASTE)
    publisher.faults.clear()
    publisher.asked.clear()
    fetch(publisher.file(), tmp_path, policy=HASTE)
    assert publisher.asked[0]["sent"] == len(CONTENT) - 200_000


def test_a_server_that_sends_a_little_each_time_is_retried_to_the_end(publisher: Publisher, tmp_path: Path) -> None:
    """More cuts than tries: each brings enough to go on."""

    def piece(request: BaseHTTPRequestHandler) -> None:
        first = int((request.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        publisher.start(request, 206 if first else 200, first)
        publisher.send(request, publisher.content[first : first + 80_000])

    publisher.faults = [piece] * 6
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert len(publisher.asked) == 7 and sum(request["sent"] for request in publisher.asked) == len(CONTENT)


def test_a_stalled_server_times_out(publisher: Publisher, tmp_path: Path) -> None:
    left = threading.Event()

    def stall(request: BaseHTTPRequestHandler) -> None:
        publisher.start(request, 200)
        publisher.send(request, publisher.content[:100_000])
        left.wait()

    publisher.faults = [stall]
    try:
        assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    finally:
        left.set()
    assert publisher.asked[1]["range"] == "bytes=100000-"


def test_a_slow_server_times_out(publisher: Publisher, tmp_path: Path) -> None:
    """Each byte arrives in time, but the file would take too long."""

    def drip(request: BaseHTTPRequestHandler) -> None:
        publisher.start(request, 200)
        for offset in range(200):
            publisher.send(request, publisher.content[offset : offset + 1])
            time.sleep(0.02)

    publisher.faults = [drip] * 9
    with pytest.raises(FetchError, match="less than 50,000 bytes per second"):
        fetch(publisher.file(), tmp_path, policy=HASTE)


def test_an_unreachable_server_is_reported(tmp_path: Path, publisher: Publisher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(FetchError, match="the connection failed"):
        fetch(publisher.file(address=f"http://127.0.0.1:{port}/file"), tmp_path, policy=HASTE)


def test_redirects_are_followed_and_keep_the_range(publisher: Publisher, tmp_path: Path) -> None:
    publisher.faults = [status(302, Location="/elsewhere"), cut(publisher, 200_000), status(307, Location="/third")]
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert publisher.asked[-1]["range"] == "bytes=200000-"


def test_endless_redirects_end(publisher: Publisher, tmp_path: Path) -> None:
    publisher.faults = [status(302, Location="/again")] * 99
    with pytest.raises(FetchError, match="redirects endlessly"):
        fetch(publisher.file(), tmp_path, policy=HASTE)


def test_wrong_content_is_stored_separately_and_reported(publisher: Publisher, tmp_path: Path) -> None:
    publisher.content = CONTENT[:-1] + b"!"
    with pytest.raises(FetchError, match="is not the published file") as caught:
        fetch(publisher.file(), tmp_path, policy=HASTE)
    assert hashlib.sha256(publisher.content).hexdigest() in str(caught.value)
    assert only(tmp_path, "file.bad") and (tmp_path / "file.bad").read_bytes() == publisher.content
    publisher.content = CONTENT
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT


def test_a_body_of_another_size_is_refused_before_it_is_read(publisher: Publisher, tmp_path: Path) -> None:
    """A portal's page instead of a gigabyte."""
    with pytest.raises(FetchError, match="offers 512,000 bytes, the published file has 900,000"):
        fetch(publisher.file(size=900_000), tmp_path, policy=HASTE)
    assert not (tmp_path / "file").exists()


def test_too_little_disk_space_is_reported_before_the_body(publisher: Publisher, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("model.data.partial_file.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(FetchError, match="512,000 bytes are needed, 1,000 are free"):
        fetch(publisher.file(), tmp_path, policy=HASTE)


def test_a_full_disk_keeps_the_partial_file(publisher: Publisher, tmp_path: Path) -> None:
    """A real failing write: the kernel's limit on file size stands for a full disk."""
    wanted = publisher.file()
    code = (
        "import resource, sys; from pathlib import Path; from model.data.download import *\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300000, resource.RLIM_INFINITY))\n"
        f"try: fetch({wanted!r}, Path({str(tmp_path)!r}))\n"
        "except FetchError as error: sys.exit(f'{error} | {error.hint}')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "cannot be written: File too large" in result.stderr and "continues the download" in result.stderr
    assert "Traceback" not in result.stderr
    partial_size = (tmp_path / "file.part").stat().st_size
    assert 0 < partial_size <= 300_000 and resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 300_000
    publisher.asked.clear()
    assert fetch(wanted, tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert publisher.asked[0]["sent"] == len(CONTENT) - partial_size


def test_a_target_that_is_no_directory_is_reported(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(FetchError, match="cannot be written"):
        fetch(publisher.file(), tmp_path / "taken", policy=HASTE)


def test_two_downloads_at_once_do_not_mix(publisher: Publisher, tmp_path: Path) -> None:
    def during(request: BaseHTTPRequestHandler) -> None:
        publisher.start(request, 200)
        publisher.send(request, publisher.content[:100_000])
        with pytest.raises(FetchError, match="another process is downloading"):
            fetch(publisher.file(), tmp_path, policy=HASTE)
        held.append(True)
        publisher.send(request, publisher.content[100_000:])

    held: list[bool] = []
    publisher.faults = [during]
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert held == [True]


def test_an_interrupt_keeps_the_partial_file(publisher: Publisher, tmp_path: Path) -> None:
    def interrupt(done: int, _: int | None) -> None:
        if done > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(publisher.file(), tmp_path, interrupt, HASTE)
    partial_size = (tmp_path / "file.part").stat().st_size
    assert partial_size > 100_000
    publisher.asked.clear()
    assert fetch(publisher.file(), tmp_path, policy=HASTE).read_bytes() == CONTENT
    assert publisher.asked[0]["sent"] == len(CONTENT) - partial_size


def test_a_proxy_of_the_environment_is_used(publisher: Publisher, tmp_path: Path, monkeypatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{publisher.port}")
    wanted = publisher.file(address="http://publisher.invalid/file")
    assert fetch(wanted, tmp_path, policy=HASTE).read_bytes() == CONTENT
