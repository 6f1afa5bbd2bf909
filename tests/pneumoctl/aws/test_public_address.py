"""The operator's public address: valid answers, the second service, and the time limit."""

import http.server
from collections.abc import Iterator
from socket import socket

import pytest

from pneumoctl.aws import public_address as module
from pneumoctl.aws.public_address import public_address
from pneumoctl.errors import PneumoError
from tests.serving import serving

ANSWERS = {
    "/good": (200, b"93.184.216.34\n"),
    "/page": (200, b"<html>sign in to the hotel's network</html>"),
    "/private": (200, b"10.0.0.7\n"),
    "/six": (200, b"2606:2800:220:1::1\n"),
    "/down": (503, b"93.184.216.34\n"),
}


@pytest.fixture
def service() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = ANSWERS[self.path]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None: ...

    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def test_first_service(service: str) -> None:
    assert public_address([f"{service}/good", f"{service}/down"]) == "93.184.216.34"


@pytest.mark.parametrize("first", ["/page", "/private", "/six", "/down"])
def test_second_service_when_the_first_gives_no_public_address(service: str, first: str) -> None:
    assert public_address([service + first, f"{service}/good"]) == "93.184.216.34"


def test_no_service_names_one(service: str) -> None:
    with pytest.raises(PneumoError) as raised:
        public_address([f"{service}/private", f"{service}/down"])
    assert "10.0.0.7, which is no public address" in raised.value.message
    assert "answered 503" in raised.value.message
    assert "operator_cidr" in raised.value.hint


def test_a_service_without_response_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.2)
    with socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(4)
        with pytest.raises(PneumoError):
            public_address([f"http://127.0.0.1:{listening.getsockname()[1]}"] * 2)


def test_both_together_stay_below_five_seconds() -> None:
    assert len(module.SERVICES) * module.TIMEOUT_S < 5
