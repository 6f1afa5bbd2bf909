"""Pictures sent to the stack's API: every failure is an error and never a finding."""

import json
import re
import threading
from typing import Any

import pytest

from model.serving.prediction import current
from pneumoctl.errors import PneumoError
from pneumoctl.scoring import api_client
from pneumoctl.scoring.api_client import ApiClient
from pneumoctl.stack import audit
from tests.pneumoctl.scoring.prepared_api import Handler, Server
from tests.predictions import EARLIER, FINDING, INVALID, REFUSAL


def failure(server: Server) -> PneumoError:
    with pytest.raises(PneumoError) as caught:
        ApiClient(server.url, "t0ken").score(b"picture", "a.png")
    assert "t0ken" not in caught.value.message + caught.value.hint
    return caught.value


def test_picture_is_sent_with_the_token_and_its_last_name_only(server: Server) -> None:
    server.say(201, {"predictions": [FINDING]})
    assert ApiClient(server.url + "/", "t0ken").score(b"\x89PNG picture", "/ward 7/Mr X/a.png") == FINDING
    ((path, headers, body),) = server.asked
    assert path == "/v1/predictions" and headers["Authorization"] == "Bearer t0ken"
    assert re.search(rb'name="file"; filename="a.png"', body) and b"\x89PNG picture" in body
    assert b"Mr X" not in body


def test_the_person_who_runs_the_command_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "current_user", lambda: "jürgen b@ward\n7")
    server.say(201, {"predictions": [FINDING]})
    ApiClient(server.url, "t0ken").score(b"x", "a.png")
    assert server.asked[0][1]["X-Pneumo-Operator"] == "j_rgen_b@ward_7"


def test_names_that_are_no_unicode_are_sent_all_the_same(server: Server) -> None:
    server.say(201, {"predictions": [FINDING]})
    for name in ("r\udcf6.png", "..", "/"):
        assert ApiClient(server.url, "t").score(b"x", name) == FINDING


def test_refusal_is_a_document_like_any_other(server: Server) -> None:
    server.say(201, {"predictions": [REFUSAL]})
    assert ApiClient(server.url, "t").score(b"x", "a.png") == REFUSAL


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>It works!</html>",
        {},
        [],
        {"predictions": []},
        {"predictions": [FINDING, FINDING]},
        {"predictions": [{}]},
        {"predictions": [FINDING], "errors": [{"file": "a.png", "position": 0, "error": {}}]},
        b"[" * 100_000,
        *({"predictions": [document]} for document in INVALID.values()),
    ],
)
def test_answer_that_is_no_prediction_is_an_error(server: Server, body: Any) -> None:
    server.say(201, body)
    assert "is not a valid prediction" in failure(server).message


@pytest.mark.parametrize("name", EARLIER)
def test_an_api_of_an_earlier_version_is_understood(server: Server, name: str) -> None:
    server.say(201, {"predictions": [EARLIER[name]]})
    scored = ApiClient(server.url, "t").score(b"x", "a.png")
    server.answers.clear()
    server.say(200, EARLIER[name])
    assert ApiClient(server.url, "t").stored("0" * 32) == scored == current(EARLIER[name])
    assert [each["code"] for each in scored["cautions"]] == ([] if name == "refusal" else ["not_checked"])


def test_an_api_of_a_later_version_is_an_error_with_the_way_out(server: Server) -> None:
    server.say(201, {"predictions": [FINDING | {"field_of_tomorrow": 1}]})
    assert failure(server).hint == "pneumoctl up (the API may be of another version)"


@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 404, 413, 500, 502])
def test_every_other_status_is_an_error(server: Server, status: int) -> None:
    server.say(status, {"predictions": [FINDING]}, Location=server.url)
    error = failure(server)
    assert str(status) in error.message and error.hint
    assert len(server.asked) == 1


def test_a_problem_document_is_reported(server: Server) -> None:
    server.say(413, {"title": "Too large", "detail": "At most 20 MB a file.", "status": 413})
    error = failure(server)
    assert "413, Too large, At most 20 MB a file." in error.message and "max_upload_mb" in error.hint


@pytest.mark.parametrize("status", [429, 503])
def test_busy_api_is_asked_again(server: Server, status: int) -> None:
    server.say(status, {}, Retry_After="1")
    server.say(status, {})
    server.say(201, {"predictions": [FINDING]})
    assert ApiClient(server.url, "t").score(b"x", "a.png") == FINDING
    assert len(server.asked) == 3


def test_api_that_stays_busy_is_an_error(server: Server) -> None:
    server.say(503, {"title": "Redis does not answer"}, Retry_After="1")
    assert "503, Redis does not answer" in failure(server).message
    assert len(server.asked) == api_client.ATTEMPTS


@pytest.mark.parametrize(
    ("header", "attempt", "seconds"),
    [
        ("7", 0, 7),
        ("0", 2, 0),
        ("999", 0, api_client.LONGEST_WAIT),
        (None, 0, 1),
        (None, 2, 4),
        ("soon", 1, 2),
        ("-5", 0, 1),
    ],
)
def test_waits_are_those_the_api_asks_for_within_reason(header: str | None, attempt: int, seconds: float) -> None:
    assert api_client._wait(header, attempt) == seconds


def test_api_that_is_away_is_an_error() -> None:
    with Server() as gone:
        url = gone.url
    with pytest.raises(PneumoError, match=r"does not answer: .*refused") as caught:
        ApiClient(url, "t").score(b"x", "a.png")
    assert caught.value.hint == "pneumoctl status" and "object at" not in caught.value.message


def test_api_that_hangs_is_an_error(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "READ_SECONDS", 0.2)
    release = threading.Event()
    monkeypatch.setattr(Handler, "do_POST", lambda self: release.wait(120))
    assert "does not answer" in failure(server).message
    release.set()


def test_api_that_hangs_up_is_an_error(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "do_POST", lambda self: self.connection.close())
    assert "does not answer" in failure(server).message


def test_api_that_hangs_up_once_is_asked_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, calls = Handler.do_POST, []

    def first_not(self: Handler) -> None:
        calls.append(self.path)
        self.connection.close() if len(calls) == 1 else whole(self)

    monkeypatch.setattr(Handler, "do_POST", first_not)
    server.say(201, {"predictions": [FINDING]})
    assert ApiClient(server.url, "t").score(b"x", "a.png") == FINDING and len(calls) == 2


def test_answer_cut_short_is_an_error(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(self: Handler) -> None:
        self.send_response(201)
        self.send_header("Content-Length", "5000")
        self.end_headers()
        self.wfile.write(json.dumps({"predictions": [FINDING]}).encode())

    monkeypatch.setattr(Handler, "do_POST", half)
    assert "does not answer" in failure(server).message
