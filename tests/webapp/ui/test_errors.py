"""Every error is shown as an error with the right status, and never as a finding."""

import json
import re

import pytest

from tests.predictions import FINDING, REFUSAL
from tests.webapp.servers import free_port, unreachable_redis
from tests.webapp.ui.conftest import page_for
from tests.webapp.ui.pages import error_page, send, visible
from webapp.api.classifier import Scorer

JSON = {"Accept": "application/json"}
UNKNOWN = "0" * 32
# Failures of the API; every page meets each of them.
PATHS = ("/", "/predictions", f"/predictions/{UNKNOWN}", f"/results?id={UNKNOWN}")


@pytest.mark.parametrize("path", [*PATHS, "POST"])
def test_an_unreachable_api_is_an_error_page(path, clear_picture):
    page = page_for(f"http://127.0.0.1:{free_port()}")
    error_page(send(page, (clear_picture, "a.png")) if path == "POST" else page.get(path), 502)


@pytest.mark.parametrize("path", [*PATHS, "POST"])
@pytest.mark.parametrize(
    ("status", "body", "shown"),
    [
        (200, b"", 502),
        (200, b"<html>It works!</html>", 502),
        (200, b'{"predictions": [{"finding": "no pneumonia"}]}', 502),
        (200, json.dumps(FINDING | {"id": UNKNOWN, "finding": "Normal"}).encode(), 502),
        (200, json.dumps(FINDING | {"id": UNKNOWN, "refusal": REFUSAL["refusal"]}).encode(), 502),
        (201, json.dumps({"predictions": [FINDING | {"finding": None}]}).encode(), 502),
        (500, json.dumps(FINDING | {"id": UNKNOWN}).encode(), 502),
        (401, b'{"detail": "A bearer token is needed."}', 502),
        (503, b'{"detail": "Results cannot be kept or read at the moment."}', 503),
        (429, b"", 429),
    ],
)
def test_invalid_responses_are_error_pages(page_of_fake_api, fake_api, path, status, body, shown):
    fake_api.status, fake_api.body, fake_api.headers = status, body, {"Retry-After": "5"}
    answer = send(page_of_fake_api, (b"x", "a.png")) if path == "POST" else page_of_fake_api.get(path)
    error_page(answer, shown)
    if shown in (429, 503):
        assert answer.headers["Retry-After"] == "5"


@pytest.mark.parametrize("path", ["/predictions", "POST"])
def test_a_timeout_is_an_error_page(fake_api, path):
    fake_api.delay = 1.0
    page = page_for(fake_api.url, API_TIMEOUT=0.2, API_READ_TIMEOUT=0.2)
    error_page(send(page, (b"x", "a.png")) if path == "POST" else page.get(path), 504)


def test_programs_get_errors_as_problem_documents(page_of_fake_api, fake_api):
    fake_api.status, fake_api.body = 200, b""
    for answer in (
        send(page_of_fake_api, (b"x", "a.png"), headers=JSON),
        page_of_fake_api.get("/predictions", headers=JSON),
    ):
        assert (answer.status_code, answer.mimetype) == (502, "application/problem+json")
        assert "predictions" not in answer.get_json()


def test_the_upload_form_stays_when_the_list_fails(page_of_fake_api, fake_api):
    fake_api.status, fake_api.body = 503, b'{"detail": "Results cannot be kept or read at the moment."}'
    text = error_page(page_of_fake_api.get("/"), 503)
    assert 'type="file"' in text
    assert "Results cannot be kept" in text


def test_the_page_recovers_when_redis_returns(clear_picture, api_app, page):
    location = send(page, (clear_picture, "a.png")).location
    client = api_app.extensions["pneumo"].store._redis
    alive, client.connection_pool = client.connection_pool, unreachable_redis().connection_pool
    for path in ("/", "/predictions", location, f"/predictions/{location[-32:]}"):
        error_page(page.get(path), 503)
    error_page(send(page, (clear_picture, "b.png")), 503)
    client.connection_pool = alive
    assert "Below the balanced operating point" in visible(page.get(location))


def test_failed_files_are_errors_and_the_others_are_shown(page, clear_picture, monkeypatch):
    whole = Scorer.score

    def score(self, content, file, film_bytes=0):
        if file.startswith("bad"):
            raise ArithmeticError
        return whole(self, content, file, film_bytes)

    monkeypatch.setattr(Scorer, "score", score)
    answer = send(page, (clear_picture, "a.png"), (clear_picture, "bad<1>.png"))
    text = visible(answer)
    assert answer.status_code == 207
    assert 'role="alert"' in text
    assert "1 file without a result" in text
    assert "bad&lt;1&gt;.png" in text
    assert text.count("Below the balanced operating point") == 1
    document = send(page, (clear_picture, "a.png"), (clear_picture, "bad.png"), headers=JSON)
    assert document.status_code == 207
    assert [each["file"] for each in document.get_json()["errors"]] == ["bad.png"]
    error_page(send(page, (clear_picture, "bad.png")), 502)


def test_a_damaged_record_is_an_error_and_the_others_are_shown(page, clear_picture, opaque_picture, redis_server):
    location = send(page, (clear_picture, "a.png"), (opaque_picture, "hurt.png")).location
    hurt = location[-32:]
    redis_server.client().append(f"pneumo:1:record:{hurt}", b" ")
    for path, status in ((location, 502), ("/predictions", 200), ("/", 200)):
        answer = page.get(path)
        text = visible(answer)
        assert answer.status_code == status
        assert 'role="alert"' in text
        assert hurt in text
        assert "hurt.png" not in text
        assert not re.search('class="(badge|verdict) pneumonia"', text)
        assert re.search('class="(badge|verdict) clear"', text)
    error_page(page.get(f"/predictions/{hurt}"), 502)


def test_an_upload_that_is_too_large_is_an_error_page(api_url, clear_picture):
    page = page_for(api_url, MAX_UPLOAD_MB=1)
    error_page(send(page, (b"x" * 1_500_000, "a.png")), 413)
    error_page(send(page, *((b"x", f"{number}.png") for number in range(21))), 413)


def test_too_many_concurrent_uploads_are_an_error_page(api_url, clear_picture):
    page = page_for(api_url, MAX_PENDING=1)
    with page.application.extensions["pneumo"].uploads.slot():
        answer = send(page, (clear_picture, "a.png"))
    error_page(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0
    assert send(page, (clear_picture, "a.png")).status_code == 303


def test_a_failing_template_is_an_error_page(page, monkeypatch, clear_picture):
    location = send(page, (clear_picture, "a.png")).location
    page.application.jinja_env.filters["timestamp"] = lambda _: 1 / 0
    text = error_page(page.get(location), 500)
    assert "ZeroDivision" not in text
