"""The notice of the metadata service that a spot instance is reclaimed, over real HTTP."""

import signal
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from model.host import spot_notice
from tests.serving import serving

NOTICE = '{"action": "terminate", "time": "2026-11-23T08:22:00Z"}'
ACTION = "/latest/meta-data/spot/instance-action"


class Metadata(BaseHTTPRequestHandler):
    """IMDSv2: a token by PUT, everything else with that token only. `answers`: one after the other, then none."""

    answers: list[tuple[int, str]] = []

    def do_PUT(self) -> None:
        self._say(200 if self.path == "/latest/api/token" else 404, "token")

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != "token":
            self._say(401, "")
        elif self.path != ACTION or not self.answers:
            self._say(404, "")
        else:
            self._say(*self.answers.pop(0))

    def _say(self, code: int, body: str) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Metadata]]:
    monkeypatch.setattr(spot_notice, "INTERVAL_S", 0.01)
    monkeypatch.setattr(Metadata, "answers", [])
    with serving(HTTPServer(("127.0.0.1", 0), Metadata)) as server:
        monkeypatch.setattr(spot_notice, "METADATA", f"http://127.0.0.1:{server.server_port}/latest")
        yield Metadata


def test_no_notice_without_an_announcement(metadata: type[Metadata]) -> None:
    assert spot_notice.notice() is None


def test_a_notice_ends_the_run_with_its_reason(metadata: type[Metadata], monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(spot_notice.os, "kill", lambda _, number: sent.append(number))
    metadata.answers += [(404, ""), (503, "busy"), (200, NOTICE)]
    why: list[str] = []
    spot_notice.watch(why)

    assert (sent, why) == ([signal.SIGTERM], ["spot: AWS reclaims the instance"])


def test_a_temporarily_unreachable_service_is_retried(
    metadata: type[Metadata], monkeypatch: pytest.MonkeyPatch
) -> None:
    there, asked = spot_notice.METADATA, []
    monkeypatch.setattr(spot_notice, "METADATA", "http://127.0.0.1:9/latest")

    def later(_: float) -> None:
        asked.append(1)
        monkeypatch.setattr(spot_notice, "METADATA", there)

    monkeypatch.setattr(spot_notice.time, "sleep", later)
    monkeypatch.setattr(spot_notice.os, "kill", lambda *_: None)
    metadata.answers += [(200, NOTICE)]
    spot_notice.watch([])

    assert asked == [1]
