"""An API that accepts every request and answers none: the page stays alive, and its uploads keep their own limit."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import urllib3

from tests.webapp.servers import Gunicorn, ui_environment
from tests.webapp.ui.pages import assert_no_finding
from webapp.environment import Environment
from webapp.ui.settings import UiSettings

READS, SPARE = 6, 4
ID = "ab" * 16
PATHS = ("/", "/predictions", *(f"/predictions/{ID}{part}" for part in ("", "/image.png", "/heatmap.png")))


class HungApi:
    """Accepts connections, reads what they send and never answers."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.asked = threading.Semaphore(0)  # released once for each request that has arrived
        self.held: list[socket.socket] = []
        self.accepting = threading.Thread(target=self._accept, daemon=True)
        self.accepting.start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed at the end
            while True:
                connection, _ = self.listening.accept()
                self.held.append(connection)
                threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        if connection.recv(65536):
            self.asked.release()
        with suppress(OSError):
            while connection.recv(65536):
                pass

    def close(self) -> None:
        """Close all connections: what waits for an answer fails."""
        with suppress(OSError):  # closed already
            self.listening.shutdown(socket.SHUT_RDWR)  # `close` alone lets a waiting `accept` take one more connection
        self.accepting.join()
        self.listening.close()
        for connection in self.held:
            with suppress(OSError):  # the page closed it already
                connection.shutdown(socket.SHUT_RDWR)  # `close` alone does nothing while a thread reads from it
            connection.close()


@pytest.fixture
def hung() -> Iterator[HungApi]:
    """An API that hangs."""
    api = HungApi()
    yield api
    api.close()


@pytest.fixture
def page(hung: HungApi, tmp_path: Path) -> Iterator[Gunicorn]:
    """The page under gunicorn; its reads wait for ten minutes here, so that the test does not depend on time."""
    limits = {"API_READ_TIMEOUT": "600", "MAX_READS": str(READS), "MAX_PENDING": "2", "API_TIMEOUT": "0.5"}
    server = Gunicorn("webapp.ui", tmp_path, ui_environment(hung.url) | limits, threads=READS + 2 + SPARE)
    server.start()
    yield server
    server.stop()


def ask(url: str, method: str = "GET", **more: object) -> urllib3.BaseHTTPResponse:
    """A request over a new connection, as a browser sends it."""
    with urllib3.PoolManager(retries=False) as http:
        return http.request(method, url, headers={"Accept": "text/html"}, timeout=590, redirect=False, **more)


def test_while_all_reads_hang_the_page_lives_and_uploads_keep_their_limit(hung: HungApi, page: Gunicorn) -> None:
    with ThreadPoolExecutor(READS) as pool:
        reads = [pool.submit(ask, page.url + PATHS[number % len(PATHS)]) for number in range(READS)]
        assert all(hung.asked.acquire(timeout=120) for _ in range(READS))
        assert ask(f"{page.url}/livez").status == 200
        for path in PATHS:  # refused at once: no place is free
            answer = ask(page.url + path)
            assert answer.status == 503 and answer.headers["Retry-After"]
            assert_no_finding(answer.data.decode())
        upload = ask(f"{page.url}/predictions", "POST", fields={"file": ("a.png", b"x")})
        assert upload.status == 504 and hung.asked.acquire(timeout=120)
        assert b"The files may have been assessed" in upload.data
        assert not any(read.done() for read in reads)
        hung.close()
        assert {read.result().status for read in reads} == {502}
    assert ask(f"{page.url}/livez").status == 200


def test_a_read_has_three_seconds_and_an_upload_a_minute() -> None:
    limits = UiSettings.read(Environment({"API_URL": "http://a", "API_TOKEN": "a-token-of-tests-only"})).limits
    assert (limits.read_seconds, limits.upload_seconds) == (3.0, 60.0)
