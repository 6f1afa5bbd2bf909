"""Several API addresses: round robin, failed ones last, and no request repeated that must not be."""

import json
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import pytest

from tests.predictions import FINDING
from tests.webapp.servers import free_port
from webapp.ui.client import ApiClient
from webapp.ui.round_robin import RoundRobin
from webapp.ui.settings import ApiLimits
from webapp.ui.transport import ApiError, Transport

REQUEST = "ab" * 16
TOKEN = "a-token-of-tests-only"


def test_each_address_comes_first_in_turn():
    addresses = RoundRobin(["a", "b", "c"])
    assert ["".join(addresses.order()) for _ in range(4)] == ["bca", "cab", "abc", "bca"]


def test_a_failed_address_comes_last_for_some_seconds():
    now = [100.0]
    addresses = RoundRobin(["a", "b", "c"], clock=lambda: now[0])
    addresses.mark_failed("b")
    assert all(addresses.order()[-1] == "b" for _ in range(6))
    now[0] += 60
    assert {addresses.order()[0] for _ in range(3)} == {"a", "b", "c"}


def test_when_all_failed_all_are_tried():
    addresses = RoundRobin(["a", "b"])
    for url in "ab":
        addresses.mark_failed(url)
    assert sorted(addresses.order()) == ["a", "b"]


def client(*urls: str, failed=lambda kind: None) -> ApiClient:
    return ApiClient(Transport(urls, TOKEN, ApiLimits(20, 20), failed))


def unreachable_url() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def good(fake_api):
    """An API that scores."""
    fake_api.status, fake_api.body = 201, json.dumps({"predictions": [FINDING]}).encode()
    return fake_api


def test_the_next_address_is_used_and_the_failed_one_avoided(good):
    kinds = []
    api = client(unreachable_url(), good.url, unreachable_url(), failed=kinds.append)
    for _ in range(6):
        assert api.predict([("a.png", BytesIO(b"content"))], REQUEST).predictions == [FINDING]
    assert [body.count(b"content\r\n") for _, _, body in good.asked] == [1] * 6
    assert 1 <= len(kinds) <= 2 and set(kinds) == {"unreachable"}


def test_a_request_that_must_not_repeat_uses_the_next_address_if_nothing_was_sent(good):
    for _ in range(2):
        client(unreachable_url(), good.url).add_feedback("ab" * 16, "unsure", "", REQUEST)
    assert len(good.asked) == 2


def test_a_request_that_must_not_repeat_is_not_repeated_if_the_response_is_lost(good):
    good.drop = True
    with pytest.raises(ApiError) as caught:
        client(good.url, good.url.replace("127.0.0.1", "localhost")).add_feedback("ab" * 16, "unsure", "", REQUEST)
    assert (caught.value.status, len(good.asked)) == (502, 1)


def test_no_address_answers():
    with pytest.raises(ApiError) as caught:
        client(unreachable_url(), unreachable_url()).ready(REQUEST)
    assert (caught.value.status, caught.value.detail) == (502, "It cannot be reached.")


@contextmanager
def closing_after_each_answer() -> Iterator[str]:
    """An API that closes each kept-alive connection after one response, as a restarting API does."""
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}"
    )
    ended = threading.Event()

    def serve(server: socket.socket) -> None:
        while not ended.is_set():
            connection, _ = server.accept()
            with connection:
                if connection.recv(65536):
                    connection.sendall(answer)
                    while not (ended.is_set() or select.select([connection], [], [], 0.02)[0]):
                        pass  # until the next request is on its way

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        ended.set()
        socket.create_connection(server.getsockname()).close()
        thread.join()


def test_a_connection_closed_by_a_restart_fails_no_request():
    kinds = []
    with closing_after_each_answer() as url:
        api = client(url, failed=kinds.append)
        for _ in range(20):
            api.ready(REQUEST)
    assert set(kinds) == {"broken"}  # the failure happened, and the client recovered
