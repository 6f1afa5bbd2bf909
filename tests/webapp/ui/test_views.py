"""The pages: results are shown, and whatever goes wrong is red, has the right status, and is never a finding."""

import json
import re

import pytest
from urllib3 import encode_multipart_formdata

from tests.webapp.servers import TOKEN, free_port, nobody
from tests.webapp.ui.conftest import page_for
from tests.webapp.ui.test_documents import FINDING, REFUSAL
from webapp.api.classifier import Scorer

VERDICTS = ("Signs of pneumonia found", "No sign of pneumonia found", "Not assessed:")
JSON = {"Accept": "application/json"}
UNKNOWN = "0" * 32


def send(page, *files: tuple[bytes, str], headers: dict[str, str] | None = None):
    """Post the form as a browser does."""
    body, kind = encode_multipart_formdata([("file", (name, content)) for content, name in files])
    return page.post("/predictions", data=body, content_type=kind, headers=headers)


def visible(answer) -> str:
    """A page's text without the template that waits in it for page.js."""
    return re.sub(r"<template.*?</template>", "", answer.get_data(as_text=True), flags=re.DOTALL)


def red(answer, status: int) -> str:
    """The text of an error page: announced, with a way on, and without any finding."""
    text = visible(answer)
    assert answer.status_code == status, text
    assert 'role="alert"' in text
    assert "it says nothing about" in text
    assert "Try again" in text or "try again" in text or (status < 429 and "To the start page" in text)
    finding_free(text)
    return text


def finding_free(text: str) -> None:
    """No verdict, no badge of a finding, no probability."""
    assert not any(verdict in text for verdict in VERDICTS)
    assert not re.search(r'class="(badge|verdict) (pneumonia|clear|refused)"', text)
    assert not re.search(r"<dd>[^<]*[01]\.\d{3}|class=\"number\"", text)


def test_an_upload_ends_on_the_page_of_its_results(page, clear_picture, opaque_picture):
    answer = send(page, (clear_picture, "a.png"), (opaque_picture, "b.png"), (b"broken", "c.png"))
    assert answer.status_code == 303
    assert re.fullmatch(r"/results(\?|&)id=[0-9a-f]{32}(&id=[0-9a-f]{32}){2}", answer.location)
    text = visible(page.get(answer.location))
    for verdict in VERDICTS:
        assert text.count(verdict) == 1
    assert text.count("P(pneumonia)</dt>") == 2
    assert "tiny-linear" in text
    assert 'role="alert"' not in text
    assert text.index("a.png") < text.index("b.png") < text.index("c.png")


def test_results_are_listed_and_stay(page, clear_picture, opaque_picture):
    send(page, (clear_picture, "a.png"), (opaque_picture, "b.png"), (b"broken", "c.png"))
    for path in ("/predictions", "/", "/predictions?order=probability"):
        text = visible(page.get(path))
        assert all(f">{name}</a>" in text for name in ("a.png", "b.png", "c.png"))
        assert all(f'class="badge {kind}"' in text for kind in ("pneumonia", "clear", "refused"))
    text = visible(page.get("/predictions?finding=refused"))
    assert "c.png" in text
    assert "a.png" not in text


def test_one_result(page, opaque_picture):
    location = send(page, (opaque_picture, "b.png")).location
    identifier = location[-32:]
    text = visible(page.get(f"/predictions/{identifier}"))
    assert "Signs of pneumonia found by the model" in text
    assert "Threshold" in text
    assert "not a diagnosis" in text
    assert "heatmap.png" not in text
    assert "heatmap.png" in visible(page.get(f"/predictions/{identifier}?heatmap=1"))
    for name in ("image.png", "heatmap.png"):
        picture = page.get(f"/predictions/{identifier}/{name}")
        assert picture.data.startswith(b"\x89PNG")
        assert picture.headers["Cache-Control"] == "no-store"


def test_programs_get_documents(page, clear_picture):
    """What the health gate of `pneumoctl up` does."""
    sent = send(page, (clear_picture, "a.png"), headers=JSON)
    assert sent.status_code == 201
    (document,) = sent.get_json()["predictions"]
    assert page.get(f"/predictions/{document['id']}", headers=JSON).get_json() == document
    assert page.get("/predictions", headers=JSON).get_json()["predictions"] == [document]
    assert "Accept" in sent.headers["Vary"]
    missing = page.get(f"/predictions/{UNKNOWN}", headers=JSON)
    assert (missing.status_code, missing.mimetype) == (404, "application/problem+json")


def test_feedback_is_kept_and_shown_as_text(page, clear_picture):
    identifier = send(page, (clear_picture, "a.png")).location[-32:]
    path = f"/predictions/{identifier}/feedback"
    answer = page.post(path, data={"label": "unsure", "comment": "<b>dark</b>"})
    assert (answer.status_code, answer.location) == (303, f"/predictions/{identifier}#feedback")
    text = visible(page.get(f"/predictions/{identifier}"))
    assert "&lt;b&gt;dark&lt;/b&gt;" in text
    red(page.post(path, data={"label": "healed"}), 400)


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>.png", '" onload="alert(1).png', "{{7*7}}.png"])
def test_a_hostile_name_is_shown_as_text(page, clear_picture, name):
    location = send(page, (clear_picture, name)).location
    for path in (location, "/predictions", f"/predictions/{location[-32:]}"):
        text = visible(page.get(path))
        assert "<img src=x" not in text
        assert '" onload="' not in text
        assert "49.png" not in text
        assert "onerror" not in location


def test_pages_follow_each_other(page, clear_picture, monkeypatch):
    monkeypatch.setattr("webapp.ui.views._MOST_SHOWN", 2)
    for number in range(5):
        send(page, (clear_picture, f"n{number}.png"))
    names, path = [], "/predictions?finding=no+pneumonia"
    while path:
        text = visible(page.get(path))
        names += re.findall(r">(n\d\.png)</a>", text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        path = following and following[1].replace("&amp;", "&")
    assert names == [f"n{number}.png" for number in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?id=x",
        "?id=" + "0" * 33,
        "?id=" + UNKNOWN + "%0a",
        "?id=" + "&id=".join(["0" * 31 + c for c in "abcdef"] * 4),
    ],
)
def test_results_of_no_ids(page, query):
    red(page.get(f"/results{query}"), 404 if query.count("id=") > 6 else 400)


def test_no_file_chosen(page):
    red(send(page), 400)
    red(send(page, (b"", "")), 400)
    assert send(page, headers=JSON).status_code == 400


# Failures of the API: each is asked by every page.
PATHS = ("/", "/predictions", f"/predictions/{UNKNOWN}", f"/results?id={UNKNOWN}")


@pytest.mark.parametrize("path", [*PATHS, "POST"])
def test_nobody_answers(path, clear_picture):
    page = page_for(f"http://127.0.0.1:{free_port()}")
    red(send(page, (clear_picture, "a.png")) if path == "POST" else page.get(path), 502)


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
def test_answers_that_are_none(false_page, canned, path, status, body, shown):
    canned.status, canned.body, canned.headers = status, body, {"Retry-After": "5"}
    answer = send(false_page, (b"x", "a.png")) if path == "POST" else false_page.get(path)
    red(answer, shown)
    if shown in (429, 503):
        assert answer.headers["Retry-After"] == "5"


@pytest.mark.parametrize("path", ["/predictions", "POST"])
def test_no_answer_in_time(canned, path):
    canned.delay = 1.0
    page = page_for(canned.url, API_TIMEOUT=0.2)
    red(send(page, (b"x", "a.png")) if path == "POST" else page.get(path), 504)


def test_errors_for_programs_are_errors_too(false_page, canned):
    canned.status, canned.body = 200, b""
    for answer in (send(false_page, (b"x", "a.png"), headers=JSON), false_page.get("/predictions", headers=JSON)):
        assert (answer.status_code, answer.mimetype) == (502, "application/problem+json")
        assert "predictions" not in answer.get_json()


def test_the_form_stays_while_the_list_cannot_be_had(false_page, canned):
    canned.status, canned.body = 503, b'{"detail": "Results cannot be kept or read at the moment."}'
    text = red(false_page.get("/"), 503)
    assert 'type="file"' in text
    assert "Results cannot be kept" in text


def test_redis_gone_and_back(clear_picture, api_app, page):
    location = send(page, (clear_picture, "a.png")).location
    store = api_app.extensions["pneumo"].store
    alive, store._redis = store._redis, nobody()
    for path in ("/", "/predictions", location, f"/predictions/{location[-32:]}"):
        red(page.get(path), 503)
    red(send(page, (clear_picture, "b.png")), 503)
    store._redis = alive
    assert "No sign of pneumonia found" in visible(page.get(location))


def test_some_files_failed_and_the_others_are_shown(page, clear_picture, monkeypatch):
    whole = Scorer.score

    def score(self, content, file):
        if file.startswith("bad"):
            raise ArithmeticError
        return whole(self, content, file)

    monkeypatch.setattr(Scorer, "score", score)
    answer = send(page, (clear_picture, "a.png"), (clear_picture, "bad<1>.png"))
    text = visible(answer)
    assert answer.status_code == 207
    assert 'role="alert"' in text
    assert "1 file without a result" in text
    assert "bad&lt;1&gt;.png" in text
    assert text.count("No sign of pneumonia found") == 1
    document = send(page, (clear_picture, "a.png"), (clear_picture, "bad.png"), headers=JSON)
    assert document.status_code == 207
    assert [each["file"] for each in document.get_json()["errors"]] == ["bad.png"]
    red(send(page, (clear_picture, "bad.png")), 502)


def test_a_damaged_record_is_red_and_the_others_are_shown(page, clear_picture, opaque_picture, redis_server):
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
    red(page.get(f"/predictions/{hurt}"), 502)


def test_too_much_at_once(api_url, clear_picture):
    page = page_for(api_url, MAX_UPLOAD_MB=1)
    red(send(page, (b"x" * 1_500_000, "a.png")), 413)
    red(send(page, *((b"x", f"{number}.png") for number in range(21))), 413)


def test_too_many_at_once(api_url, clear_picture):
    page = page_for(api_url, MAX_PENDING=1)
    with page.application.extensions["pneumo"].uploads.held():
        answer = send(page, (clear_picture, "a.png"))
    red(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0
    assert send(page, (clear_picture, "a.png")).status_code == 303


def test_a_template_that_fails_is_an_error_page(page, monkeypatch, clear_picture):
    location = send(page, (clear_picture, "a.png")).location
    page.application.jinja_env.filters["moment"] = lambda _: 1 / 0
    text = red(page.get(location), 500)
    assert "ZeroDivision" not in text


def test_unknown_addresses(page):
    red(page.get("/nothing"), 404)
    red(page.get("/predictions/../../etc/passwd"), 404)
    red(page.delete("/predictions"), 405)


def test_health(page, false_page, canned):
    assert page.get("/livez").get_json() == {"status": "alive"}
    assert page.get("/readyz").status_code == 200
    canned.status, canned.body = 503, b"{}"
    assert false_page.get("/readyz").status_code == 503
    assert false_page.get("/livez").status_code == 200


def test_the_token_never_reaches_the_browser(page, clear_picture):
    answer = send(page, (clear_picture, "a.png"))
    for path in ("/", "/predictions", answer.location):
        shown = page.get(path)
        assert TOKEN not in shown.get_data(as_text=True) + str(shown.headers)
