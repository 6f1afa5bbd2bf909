"""The rules of the upload queue, as functions in a real browser: which state a file gets."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from model import phantom
from tests.browser.conftest import Stack, Watched

QUEUE = "const queue = await import('/static/upload/queue.js');"


def run(stack: Stack, watched: Watched, script: str, argument: object = None) -> object:
    """What a script returns that has the functions of the queue as `queue` and `argument`."""
    watched.page.goto(stack.ui.url)
    return watched.page.evaluate(f"async (argument) => {{ {QUEUE} {script} }}", argument)


def test_a_film_of_another_folder_does_not_take_the_row_of_a_lost_one(stack: Stack, watched: Watched):
    script = """
        const file = { size: 9, lastModified: 5 };
        const lost = { key: 1, path: "ward/b/IM1", size: 9, modified: 5, state: "selected" };
        const list = queue.restored(1e6, { entries: [lost], leftOut: [] });
        const added = queue.add(list, ["ward/a/IM1", "ward/b/IM1", "IM1"].map((path) => ({ path, file })));
        return [added.map(([entry]) => [entry.key, entry.path]), list.leftOut];"""
    found = run(stack, watched, script)
    assert found == [[[2, "ward/a/IM1"], [1, "ward/b/IM1"], [3, "IM1"]], []]


ID = "0" * 32
DOCUMENT = {"id": ID, "finding": "pneumonia", "refusal": None, "probability": 0.9, "threshold": 0.5, "cautions": []}


@pytest.mark.parametrize(
    "change",
    [
        {"cautions": None},
        {"cautions": [None]},
        {"threshold": None},
        {"probability": "0.9"},
        {"probability": 0.1},
        {"finding": "no pneumonia"},
        {"refusal": {}},
        {"id": [ID]},
    ],
)
def test_a_document_that_is_not_complete_is_an_error(stack: Stack, watched: Watched, change: dict):
    script = "const entry = {}; queue.finish(entry, { document: argument }); return entry.state;"
    assert run(stack, watched, script, DOCUMENT) == "result"
    assert run(stack, watched, script, DOCUMENT | change) == "error"


def test_the_end_of_all_waits_does_not_call_a_file_unassessed_that_may_be(stack: Stack, watched: Watched):
    script = """
        const states = ["sending", "waiting", "queued"];
        const entries = states.map((state, key) => ({ key, state, posted: key < 2, waits: 0 }));
        queue.settle({ entries, stalled: 0 }, entries[0], { wait: Infinity, reason: "Busy." }, 0);
        return entries.map((entry) => [entry.state, entry.reason]);"""
    assert run(stack, watched, script) == [
        ["error", "Busy."],
        ["error", {"text": "It may have been assessed. {reason}", "values": {"reason": "Busy."}}],
        ["error", {"text": "Not assessed. {reason}", "values": {"reason": "Busy."}}],
    ]


KEPT = {"key": 1, "path": "a.png", "size": 1, "modified": 1, "state": "result", "reason": "", **DOCUMENT}
del KEPT["refusal"]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"entries": [null], "leftOut": []}',
        json.dumps({"entries": [KEPT], "leftOut": [{}]}),
        json.dumps({"entries": [KEPT, KEPT], "leftOut": []}),
        *(
            json.dumps({"entries": [KEPT | change], "leftOut": []})
            for change in ({"state": "sent"}, {"id": "../x"}, {"finding": "none"}, {"path": 1}, {"cautions": [{}]})
        ),
    ],
)
def test_a_kept_list_that_is_damaged_is_said_to_be(stack: Stack, watched: Watched, text: str):
    page = watched.page
    page.goto(stack.ui.url)
    page.evaluate("text => { sessionStorage.upload = text; }", text)
    page.reload()
    expect(page.get_by_text("The list of the upload before cannot be read.")).to_be_visible()
    expect(page.locator("[data-queue-box]")).to_be_hidden()
    expect(page.get_by_label("Or a folder")).to_be_visible()
    page.evaluate("text => { sessionStorage.upload = text; }", json.dumps({"entries": [KEPT], "leftOut": []}))
    page.reload()
    expect(page.locator("[data-queue] li")).to_have_attribute("data-state", "pneumonia")


def test_a_list_that_cannot_be_kept_leaves_no_older_list(stack: Stack, watched: Watched, tmp_path: Path):
    films = [tmp_path / name for name in ("a.png", "b.png")]
    for film in films:
        film.write_bytes(b"x")
    page = watched.page
    page.goto(stack.ui.url)
    page.get_by_label("Chest X-rays").set_input_files(films[0])
    expect(page.locator("[data-queue] li")).to_have_count(1)
    page.evaluate(
        "() => { Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }; }"
    )
    page.get_by_label("Chest X-rays").set_input_files(films[1])
    expect(page.get_by_text("This browser does not keep the list")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_a_login_that_is_asked_for_stops_the_upload(stack: Stack, watched: Watched, tmp_path: Path):
    films = [tmp_path / f"{number}.png" for number in range(9)]
    for film in films:
        film.write_bytes(b"x")
    page = watched.page
    asked: list[Route] = []
    page.route("**/predictions", lambda route: (asked.append(route), route.fulfill(status=401, body="<h1>Log in</h1>")))
    page.goto(stack.ui.url)
    page.get_by_label("Chest X-rays").set_input_files(films)
    page.get_by_role("button", name="Assess").click()
    expect(page.locator("[data-queue] li[data-state=error]")).to_have_count(len(films))
    assert len(asked) <= 2
    expect(page.locator("[data-queue] li").first).to_contain_text("Log in again")


@pytest.mark.parametrize("name", ['a"b.png', "50%22.png", "a\nb.png", "a\\b.png", 'w/"ö\u202e<b>;.png'])
def test_a_lost_answer_is_found_whatever_the_name(stack: Stack, watched: Watched, name: str):
    script = """
        const send = await import("/static/upload/send.js");
        const { bytes, digest } = await send.read(new Blob([Uint8Array.from(argument.content)]));
        const sent = send.sentName(argument.name);
        const answer = await send.post("/predictions", bytes, sent, new AbortController().signal, () => {});
        const found = await send.find("/predictions/find", digest, sent);
        return [answer.document?.id, found.document?.id];"""
    stored, found = run(stack, watched, script, {"name": name, "content": [*phantom.png(1, 192)]})
    assert stored is not None
    assert found == stored


def test_retry_after_is_a_number_or_a_date(stack: Stack, watched: Watched):
    watched.page.goto(stack.ui.url)
    now = 1_700_000_000_000  # Tue, 14 Nov 2023 22:13:20 GMT
    headers = ["7", "0", "Tue, 14 Nov 2023 22:13:50 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "soon", None]
    script = """async ([headers, now]) => {
        const { secondsToWait } = await import("/static/upload/queue.js");
        return headers.map((header) => secondsToWait(header, now));
    }"""
    assert watched.page.evaluate(script, [headers, now]) == [7, 1, 30, 1, 5, 5]
