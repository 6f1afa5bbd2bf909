"""Downloads from a server that fails, stalls or redirects: retried, or reported with the part kept."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from model.data.download import fetch
from model.data.partial_file import FetchError
from tests.model.data.publisher import CONTENT, HASTE, Publisher, cut, status


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
