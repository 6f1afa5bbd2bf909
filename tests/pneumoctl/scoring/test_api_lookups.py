"""What the stack's API is asked for beside new predictions: its model and setting, and stored predictions."""

from typing import Any

import pytest

from model.serving.prediction import Scoring
from pneumoctl.errors import PneumoError
from pneumoctl.scoring.api_client import ApiClient
from tests.pneumoctl.scoring.prepared_api import Server
from tests.predictions import FINDING, INVALID, REFUSAL


@pytest.mark.parametrize(("said", "read"), [({}, "refuse"), ({"outside_use": "score"}, "score")])
def test_version_and_setting_are_those_reported_by_the_api(server: Server, said: dict[str, str], read: str) -> None:
    model = {"ok": True, "fault": None, "version": "0123456789ab", **said}
    server.say(200, {"status": "ready", "checks": {"model": model}})
    assert ApiClient(server.url, "t").scoring() == Scoring("0123456789ab", read)
    assert server.asked[0][0] == "/readyz"


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (503, {"status": "not ready", "checks": {"model": {"version": "v"}}}, "not ready: 503"),
        (404, {}, "not ready: 404"),
        (200, b"<html>It works!</html>", "does not report"),
        (200, {"checks": {}}, "does not report"),
        (200, {"checks": {"model": {"version": None}}}, "does not report"),
        (200, {"checks": {"model": {"version": ""}}}, "does not report"),
        (200, {"checks": {"model": "v"}}, "does not report"),
        (
            200,
            {"checks": {"model": {"version": "v", "outside_use": "guess"}}},
            "unknown value of its setting outside_use",
        ),
        (200, {"checks": {"model": {"version": "v", "outside_use": ["refuse"]}}}, "unknown value of its setting"),
    ],
)
def test_a_readiness_report_that_is_not_understood_is_an_error(
    server: Server, status: int, body: Any, words: str
) -> None:
    server.say(status, body)
    with pytest.raises(PneumoError, match=words):
        ApiClient(server.url, "t").scoring()


def test_a_stored_prediction_is_returned_and_none_otherwise(server: Server) -> None:
    for status, body in ((200, FINDING), (404, {"title": "Not found"}), (200, REFUSAL)):
        server.answers.clear()
        server.say(status, body)
        assert ApiClient(server.url, "t0ken").stored("0" * 32) == (body if status == 200 else None)
    path, headers, _ = server.asked[0]
    assert path == f"/v1/predictions/{'0' * 32}" and headers["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize("body", [*INVALID.values(), b"", b"x", b'"', b"{}, {}", b"null"])
def test_an_invalid_stored_prediction_is_an_error(server: Server, body: Any) -> None:
    server.say(200, body)
    with pytest.raises(PneumoError, match="is not a valid prediction"):
        ApiClient(server.url, "t0ken").stored("0" * 32)


@pytest.mark.parametrize("status", [301, 401, 500, 503])
def test_what_cannot_be_looked_up_is_an_error(server: Server, status: int) -> None:
    server.say(status, {"title": "Damaged", "detail": "pneumo:1:record"})
    with pytest.raises(PneumoError, match=f"{status}, Damaged"):
        ApiClient(server.url, "t0ken").stored("0" * 32)
