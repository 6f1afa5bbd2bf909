"""Requests forwarded to the web hosts: complete uploads, once, and not to drained or unreachable hosts."""

import socket
import threading
import time
from pathlib import Path

import pytest

from tests.templates.front import Front, Host, Upstream, host

ONE, TWO = Upstream("127.0.0.11"), Upstream("127.0.0.12")

pytestmark = pytest.mark.usefixtures("network")


def test_a_whole_upload_arrives_and_one_that_is_too_large_does_not(front: Front, page: Host) -> None:
    picture = bytes(range(256)) * 4096 * 8  # exactly what is allowed
    assert front.ask("/predictions", "POST", body=picture).status == 200
    assert front.ask("/predictions", "POST", body=picture + b"x").status == 413
    assert [body == picture for *_, body in page.seen] == [True]


def test_an_upload_is_not_buffered_on_disk_and_occupies_no_worker(front: Front, page: Host) -> None:
    with (
        socket.create_connection(("127.0.0.1", 443), timeout=30) as plain,
        front.context.wrap_socket(plain, server_hostname="127.0.0.1") as tunnel,
    ):
        head = "POST /predictions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        tunnel.sendall(f"{head}Content-Length: 2000000\r\n\r\n".encode() + b"x" * 1000000)
        deadline = time.monotonic() + 300
        # If the upload were not buffered in memory, this would time out.
        while not any(one.startswith("/dev/shm/pneumoctl-nginx/") for one in front.open_files()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert page.seen == []
        tunnel.sendall(b"x" * 1000000)
        assert tunnel.recv(100).startswith(b"HTTP/1.1 200 ")
    assert len(page.seen[0][3]) == 2000000


def test_a_drained_host_gets_no_request(folder: Path) -> None:
    with host(ONE.address) as drained, host(TWO.address) as other:
        with Front(folder, Upstream(ONE.address, down=True), TWO) as front:
            assert {front.ask("/").status for _ in range(8)} == {200}
        assert (len(drained.seen), len(other.seen)) == (0, 8)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unreachable_host_is_skipped(folder: Path, method: str) -> None:
    with host(TWO.address) as other:
        with Front(folder, ONE, TWO) as front:
            assert {front.ask("/", method, body=b"picture").status for _ in range(8)} == {200}
        assert len(other.seen) == 8


def test_a_possibly_received_request_is_not_repeated(folder: Path) -> None:
    with host(ONE.address) as first, host(TWO.address) as second, Front(folder, ONE, TWO) as front:
        assert front.ask("/die", "POST", body=b"picture").status == 502
        assert len(first.seen) + len(second.seen) == 1
        assert front.ask("/die").status == 502
        assert len(first.seen) + len(second.seen) == 3


def test_a_host_that_restarts_is_waited_for(folder: Path) -> None:
    # The server's socket listens, as systemd's does; no program accepts yet.
    with Host(ONE.address).serve({}) as server, Front(folder, ONE) as front:
        later = threading.Timer(1, server.serve_forever, [0.02])
        later.start()
        try:
            assert front.ask("/", "POST", body=b"picture").status == 200
        finally:
            server.shutdown()
            later.join()
