"""Every failure of the API becomes an ApiError with the right status."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from pathlib import Path

import pytest

from model import phantom
from tests.predictions import FINDING
from tests.webapp.servers import free_port
from webapp.ui import transport
from webapp.ui.client import ApiClient
from webapp.ui.settings import ApiLimits
from webapp.ui.transport import ApiError, Transport

REQUEST = "ab" * 16


def client(url: str, timeout: float = 20) -> ApiClient:
    """A client of the API at `url`."""
    return ApiClient(Transport([url], "a-token-of-tests-only", ApiLimits(timeout, timeout)))


def failure(call) -> ApiError:
    """The error that a call raises."""
    with pytest.raises(ApiError) as caught:
        call()
    return caught.value


def test_a_valid_response_is_returned(fake_api):
    fake_api.status, fake_api.body = 201, json.dumps({"predictions": [FINDING]}).encode()
    scored = client(fake_api.url).predict([("a.png", BytesIO(b"content"))], REQUEST)
    assert scored.predictions == [FINDING]
    ((method, path, body),) = fake_api.asked
    assert (method, path) == ("POST", "/v1/predictions")
    assert b"content" in body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{",
        b"<html>OK</html>",
        b"\xff\xfe",
        b'{"predictions": []}',
        b'{"predictions": null}',
        b'{"predictions": [{}]}',
        b"[" * 100_000,
        json.dumps({"predictions": [FINDING | {"probability": float("nan")}]}).encode(),
        json.dumps({"predictions": [FINDING | {"finding": "healthy"}]}).encode(),
        json.dumps({"predictions": [FINDING, FINDING]}).encode(),
    ],
)
@pytest.mark.parametrize("status", [200, 201, 207])
def test_an_invalid_response_is_an_error(fake_api, status, body):
    fake_api.status, fake_api.body = status, body
    error = failure(lambda: client(fake_api.url).predict([("a.png", BytesIO(b"x"))], REQUEST))
    assert error.status == 502
    assert "invalid answer" in error.title
    assert error.detail.endswith("It may be of another version. To update both, run: pneumoctl up")


@pytest.mark.parametrize(
    ("status", "shown"),
    [(400, 400), (404, 404), (409, 409), (413, 413), (429, 429), (503, 503), (401, 502), (403, 502), (500, 502),
     (302, 502), (418, 502), (599, 502)],
)  # fmt: skip
def test_error_statuses_are_translated(fake_api, status, shown):
    fake_api.status, fake_api.body = status, json.dumps({"detail": "because"}).encode()
    fake_api.headers = {"Retry-After": "7", "Location": "http://192.0.2.1/"}
    error = failure(lambda: client(fake_api.url).page({}, None, 20, REQUEST))
    assert (error.status, error.detail) == (shown, "because")
    if status == 503:
        assert error.retry_after == "7"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"detail": null}'])
def test_an_error_without_a_document(fake_api, body):
    fake_api.status, fake_api.body = 503, body
    assert failure(lambda: client(fake_api.url).ready(REQUEST)).status == 503


def test_small_pictures_wait_for_one_another_and_take_no_place_of_other_reads(fake_api):
    fake_api.body, fake_api.kind, fake_api.delay = phantom.png(1, 64, False), "image/png", 0.5
    limits = ApiLimits(20, 20, max_reads=2, max_thumbnails=transport._THUMBNAILS + 4)
    api = ApiClient(Transport([fake_api.url], "a-token-of-tests-only", limits))
    with ThreadPoolExecutor(30) as pool:
        small = [pool.submit(api.png, f"{number:032x}", "thumbnail.png", REQUEST) for number in range(30)]
        wait(small, return_when=FIRST_COMPLETED)  # the first ones are refused: their places are taken
        assert api.png("0" * 32, "image.png", REQUEST)
    refused = [each.exception() for each in small if each.exception()]
    assert {each.status for each in refused} == {503} and 1 <= len(refused) <= 30 - limits.max_thumbnails


def test_an_unreachable_api_is_an_error():
    assert failure(lambda: client(f"http://127.0.0.1:{free_port()}").ready(REQUEST)).status == 502


def test_a_timeout_is_an_error(fake_api):
    fake_api.delay = 1.5
    error = failure(lambda: client(fake_api.url, timeout=0.2).predict([("a.png", BytesIO(b"x"))], REQUEST))
    assert error.status == 504
    assert error.detail.endswith("The files may have been assessed: look under Results before you send them again.")
    error = failure(lambda: client(fake_api.url, timeout=0.2).show("ab" * 16, REQUEST))
    assert (error.status, error.detail) == (504, "The API did not respond in time.")


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n"


@contextmanager
def answering(kind: str, folder: Path, answer: Callable[[socket.socket], None]) -> Iterator[Transport]:
    """An API that answers one request with a function, on a port or a Unix socket; reads of it have two seconds."""
    path = folder / "api.sock"
    with ExitStack() as held:
        if kind == "port":
            server = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            url = f"http://127.0.0.1:{server.getsockname()[1]}"
        else:
            server = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            server.bind(str(path))
            server.listen()
            url = "http://localhost"

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):  # the client closes the connection
                connection.recv(1024)
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Transport([url], "a-token-of-tests-only", ApiLimits(2, 2), socket=path if kind == "socket" else None)
        thread.join()


@pytest.mark.parametrize("kind", ["port", "socket"])
@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX-Name: ", HEAD + b"\r\n"])
def test_an_answer_that_arrives_byte_by_byte_is_a_timeout(tmp_path, kind, start):
    def answer(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:  # until the client closes the connection
            connection.sendall(b"x")
            time.sleep(0.02)

    with answering(kind, tmp_path, answer) as transport:
        assert failure(lambda: ApiClient(transport).show("ab" * 16, REQUEST)).status == 504


@pytest.mark.parametrize("kind", ["port", "socket"])
def test_an_answer_whose_headers_come_late_has_only_the_rest_of_the_time(tmp_path, kind):
    open_for = []

    def answer(connection: socket.socket) -> None:
        begin = time.monotonic()
        time.sleep(1.8)
        connection.sendall(HEAD + b"\r\n")
        connection.recv(1)  # until the client closes the connection
        open_for.append(time.monotonic() - begin)

    with answering(kind, tmp_path, answer) as transport:
        assert failure(lambda: ApiClient(transport).show("ab" * 16, REQUEST)).status == 504
    assert open_for[0] < 3.5  # not 1.8 and then two seconds more


def test_a_broken_connection_is_retried_once_if_that_is_safe(fake_api):
    fake_api.drop = True
    error = failure(lambda: client(fake_api.url).predict([("a.png", BytesIO(b"content"))], REQUEST))
    assert error.status == 502
    assert error.detail.startswith("The connection closed before a response arrived. The files may have been assessed")
    assert [body.count(b"content\r\n") for _, _, body in fake_api.asked] == [1, 1]
    fake_api.asked.clear()
    error = failure(lambda: client(fake_api.url).add_feedback("ab" * 16, "unsure", "", REQUEST))
    assert "The feedback may have been saved" in error.detail
    assert len(fake_api.asked) == 1


def test_a_server_that_does_not_speak_http_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for _ in range(2):
                connection, _ = server.accept()
                with connection:
                    connection.recv(1024)
                    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert failure(lambda: client(f"http://127.0.0.1:{server.getsockname()[1]}").ready(REQUEST)).status == 502
        thread.join()


def test_a_response_with_another_id_is_an_error(fake_api):
    fake_api.body = json.dumps(FINDING).encode()
    assert client(fake_api.url).show(FINDING["id"], REQUEST) == FINDING
    assert failure(lambda: client(fake_api.url).show("cd" * 16, REQUEST)).status == 502


def test_a_response_that_is_no_png_is_an_error(fake_api):
    fake_api.body, fake_api.kind = b"<svg onload=alert(1)>", "image/png"
    assert failure(lambda: client(fake_api.url).png("ab" * 16, "image.png", REQUEST)).status == 502


@pytest.mark.parametrize("name", ["image.png", "thumbnail.png", "heatmap.png"])
def test_a_picture_that_is_cut_off_is_an_error(fake_api, name):
    whole = phantom.png(1, 64, False)
    fake_api.body, fake_api.kind = whole, "image/png"
    assert client(fake_api.url).png("ab" * 16, name, REQUEST) == whole
    fake_api.body = whole[: len(whole) // 2]
    error = failure(lambda: client(fake_api.url).png("ab" * 16, name, REQUEST))
    assert (error.status, "cut off" in error.detail) == (502, True)
