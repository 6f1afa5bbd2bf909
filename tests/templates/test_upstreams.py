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


def refused(front: Front, length: int, chunked: bool = False) -> bytes:
    """The beginning of the answer to an upload of which only the head is sent."""
    size = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {length}"
    with (
        socket.create_connection(("127.0.0.1", 443), timeout=30) as plain,
        front.context.wrap_socket(plain, server_hostname="127.0.0.1") as tunnel,
    ):
        tunnel.sendall(f"POST /predictions HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: a=b\r\n{size}\r\n\r\n".encode())
        return tunnel.recv(65536)


@pytest.mark.parametrize("chunked", [False, True])
def test_the_upload_of_a_stranger_is_refused_before_it_is_read(front: Front, page: Host, chunked: bool) -> None:
    page.login = 401
    answer = refused(front, 2000000, chunked)
    assert answer.startswith(b"HTTP/1.1 401 ") and b"X-Frame-Options: DENY" in answer
    assert b"<h1>Error: Please log in</h1>" in answer and b"says nothing about any picture" in answer
    (asked,) = page.checked
    assert (asked["Cookie"], asked["X-Real-IP"], asked["X-Forwarded-Proto"]) == ("a=b", "127.0.0.1", "https")
    assert "Content-Length" not in asked and "Transfer-Encoding" not in asked
    assert page.seen == []


@pytest.mark.parametrize("status", [403, 500, 503, 302])
def test_no_upload_is_read_while_the_page_does_not_say_who_sends_it(front: Front, page: Host, status: int) -> None:
    page.login = status
    answer = refused(front, 2000000)
    assert answer.startswith(b"HTTP/1.1 403 " if status == 403 else b"HTTP/1.1 503 ")
    assert b"says nothing about any picture" in answer and b"Nothing was assessed." in answer
    assert page.seen == []


def test_no_upload_is_read_while_no_page_answers(folder: Path) -> None:
    with Front(folder, ONE) as front:
        answer = refused(front, 2000000)
    assert answer.startswith(b"HTTP/1.1 503 ") and b"<h1>Error: The server did not respond</h1>" in answer


def test_a_page_of_an_earlier_release_decides_itself(front: Front, page: Host) -> None:
    page.login = 404
    assert front.ask("/predictions", "POST", body=b"picture").status == 200
    assert [body for *_, body in page.seen] == [b"picture"]


def test_what_is_no_upload_is_never_larger_than_a_form(front: Front, page: Host) -> None:
    assert front.ask("/login", "POST", body=b"x" * 65536).status == 200
    answer = front.ask("/login", "POST", body=b"x" * 65537)
    assert (answer.status, b"Nothing was saved" in answer.body) == (413, True)
    assert len(page.seen) == 1 and page.checked == []


def test_nobody_else_asks_whether_somebody_has_logged_in(front: Front, page: Host) -> None:
    assert (front.ask("/logged-in").status, page.checked, page.seen) == (404, [], [])


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
