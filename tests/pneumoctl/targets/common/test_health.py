"""The health gate passes only with the known score."""

import http.server
import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import bundled
from pneumoctl.hosts import steps
from pneumoctl.targets.aws.configuration import proof
from pneumoctl.targets.common import health
from pneumoctl.targets.local import gate, readiness
from tests import needs
from tests.serving import secure, serving

KNOWN = {"seed": 7, "size": 192, "opacity": True, "probability": 0.9, "tolerance": 0.01}
MANIFEST = {"name": "m", "version": "1", "operating_point": {"threshold": 0.5}, "known_picture": KNOWN}
SERVED = {"model": {"name": "m", "version": "1"}, "threshold": 0.5}
GOOD = {"id": "i", "finding": "pneumonia", "refusal": None, "probability": 0.9, **SERVED}


class Page(http.server.BaseHTTPRequestHandler):
    """Answers as set in `answers`: (status, body) by method."""

    answers: dict[str, tuple[int, str]] = {}
    asked: list[dict[str, str]] = []

    def do_GET(self) -> None:
        self.asked.append(dict(self.headers))
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, body = self.answers[self.command]
        if not status:  # close the connection without an answer
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(autouse=True)
def _nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Page, "asked", [])


@pytest.fixture
def page() -> Iterator[str]:
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def test_the_gate_passes_with_the_known_score(page: str) -> None:
    Page.answers = {"POST": (201, json.dumps({"predictions": [GOOD]})), "GET": (200, json.dumps(GOOD))}
    assert health.gate(health.WebEndpoint(page), MANIFEST) == GOOD


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ((500, "{}"), (200, json.dumps(GOOD))),
        ((500, "broken"), (200, json.dumps(GOOD))),
        ((201, ""), (200, json.dumps(GOOD))),
        ((201, "[]"), (200, json.dumps(GOOD))),
        ((201, '{"predictions": []}'), (200, json.dumps(GOOD))),
        ((201, json.dumps({"predictions": [GOOD]})), (404, "{}")),
        ((201, json.dumps({"predictions": [GOOD]})), (200, json.dumps(GOOD | {"probability": 0.2}))),
        ((201, json.dumps({"predictions": [GOOD]})), (200, json.dumps(GOOD | {"probability": None}))),
        ((201, json.dumps({"predictions": [GOOD]})), (200, json.dumps(GOOD | {"finding": None}))),
        ((201, json.dumps({"predictions": [GOOD]})), (200, json.dumps(GOOD | {"refusal": {"code": "x"}}))),
        ((201, json.dumps({"predictions": [GOOD | {"probability": 0.905}]})), (200, json.dumps(GOOD))),
    ],
)
def test_the_gate_fails(page: str, sent: tuple[int, str], stored: tuple[int, str]) -> None:
    Page.answers = {"POST": sent, "GET": stored}
    with pytest.raises(PneumoError) as caught:
        health.gate(health.WebEndpoint(page), MANIFEST)
    assert caught.value.code == Exit.GATE_FAILED


def test_a_front_door_without_an_answer_is_no_failed_gate(page: str) -> None:
    """The operator's link may be down. A failed gate would take the release back on every host."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = f"http://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(health.NoAnswer, match=r"POST .* gave no answer") as refused:
        health.gate(health.WebEndpoint(free), MANIFEST)
    assert refused.value.code == Exit.FAILED

    Page.answers = {"POST": (201, json.dumps({"predictions": [GOOD]})), "GET": (0, "")}
    with pytest.raises(health.NoAnswer, match="GET"):
        health.gate(health.WebEndpoint(page), MANIFEST)


@pytest.fixture
def secure_page(page: str, tmp_path: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    secure(server, tmp_path)
    with serving(server):
        yield f"https://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("fingerprint", "why"), [("0" * 64, "another certificate than the stack's"), ("", "self-signed certificate")]
)
def test_another_certificate_is_neither_silence_nor_a_failed_gate(
    secure_page: str, fingerprint: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = health.WebEndpoint(secure_page, fingerprint)
    with pytest.raises(health.OtherCertificate, match=why) as caught:
        health.gate(door, MANIFEST)
    assert caught.value.code == Exit.FAILED and "no answer" not in caught.value.message
    monkeypatch.setattr(proof, "served", lambda _: MANIFEST)
    with pytest.raises(PneumoError, match=r"Whether the releases are good is not known$"):
        proof.FrontDoor(door, cast(Any, None), cast(Any, None)).act(cast(Any, None))


@pytest.mark.parametrize("answer", [(200, "[]"), (303, ""), (404, ""), (500, ""), (403, "")])
def test_a_page_that_answers_somebody_who_is_not_logged_in_fails_the_gate(page: str, answer: tuple[int, str]) -> None:
    for method in ("GET", "POST"):
        Page.answers = {"GET": (401, "{}"), "POST": (401, "{}")}
        health.require_login(health.WebEndpoint(page, session="of a user"))
        assert not any("Cookie" in headers for headers in Page.asked)
        Page.answers = {**Page.answers, method: answer}
        with pytest.raises(PneumoError, match=rf"{method} .* without a login answered {answer[0]}") as caught:
            health.require_login(health.WebEndpoint(page, session="of a user"))
        assert caught.value.code == Exit.GATE_FAILED


@pytest.mark.parametrize(("url", "name"), [("http://a", "session"), ("https://a", "__Host-session")])
def test_the_session_is_sent_as_the_page_sets_it(url: str, name: str) -> None:
    assert health.WebEndpoint(url, session="of-a-user").headers == {"Cookie": f"{name}=of-a-user"}
    assert health.WebEndpoint(url).headers == {}


def test_the_gate_waits_until_nginx_reports_a_page_that_hangs() -> None:
    """Otherwise a release that hangs could not be told from a link that is down."""
    template = (bundled("templates") / "nginx/nginx.conf.j2").read_text()
    limits = dict(re.findall(r"(proxy_read_timeout|proxy_next_upstream_timeout) (\d+)s;", template))
    assert sum(map(int, limits.values())) < health.ANSWER_S and len(limits) == 2


def test_on_this_machine_no_answer_is_a_failed_gate(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no link that could be down: the page is at fault."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = f"http://127.0.0.1:{server.getsockname()[1]}"
    assert gate.main([free, str(tiny_bundle)]) == Exit.GATE_FAILED
    assert "gave no answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"model": {"name": "m", "version": "2"}}, "m-2 answered with the threshold 0.5, but the hosts serve m-1"),
        ({"threshold": 0.3}, "m-1 answered with the threshold 0.3, but the hosts serve m-1"),
        ({"probability": float("nan")}, "the known picture of m-1 scored nan, not 0.9"),
    ],
)
def test_what_the_answer_says_of_its_model_is_not_believed(page: str, other: dict[str, object], reason: str) -> None:
    """A bundle with the same networks scores the same, with another threshold."""
    answer = GOOD | other
    Page.answers = {"POST": (201, json.dumps({"predictions": [GOOD | other]})), "GET": (200, json.dumps(answer))}
    with pytest.raises(PneumoError, match=reason):
        health.gate(health.WebEndpoint(page), MANIFEST)


def test_waiting_ends_with_the_last_answer(page: str) -> None:
    Page.answers = {"GET": (503, '{"status": "not ready"}')}
    with pytest.raises(PneumoError, match="not ready"):
        readiness.wait(f"{page}/readyz", timeout=0.3)
    with pytest.raises(PneumoError, match="nothing listens"):
        readiness.wait("http://127.0.0.1:1/readyz", timeout=0.3)
    Page.answers = {"GET": (503, '{"checks": {"known_picture": {"ok": false}}}')}
    with pytest.raises(PneumoError, match="known picture"):
        readiness.wait(f"{page}/readyz", timeout=60)
    Page.answers = {"GET": (503, '{"checks": {"store": {"ok": false, "fault": "f", "warning": "the store is full"}}}')}
    with pytest.raises(PneumoError, match=r"not ready after 0 s: the store is full: pneumoctl results export PATH, "):
        readiness.wait(f"{page}/readyz", timeout=0.3)
    Page.answers = {"GET": (503, FULL)}
    with pytest.raises(PneumoError, match=r"cannot become ready by itself: full: pneumoctl results export PATH, "):
        readiness.wait(f"{page}/readyz", timeout=60)
    Page.answers = {"GET": (200, "{}")}
    readiness.wait(f"{page}/readyz", timeout=0.3)


@pytest.mark.skipif(not shutil.which("curl"), reason=needs.CURL)
def test_a_host_does_not_wait_for_a_fault_that_lasts(page: str) -> None:
    """The script that a host runs, here against a page of this machine."""
    Page.answers = {"GET": (503, FULL)}
    ended = subprocess.run(steps.answers(f"{page}/readyz").argv, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, json.loads(ended.stdout)) == (1, json.loads(FULL))
    Page.answers = {"GET": (200, "{}")}
    assert subprocess.run(steps.answers(f"{page}/readyz").argv, timeout=30).returncode == 0


FULL = '{"checks":{"store":{"ok":false,"fault":"f","lasting":true,"warning":"full"}},"status":"not ready"}'
