"""The page tells an open list whether it is up to date."""

import re

from tests.webapp.ui.conftest import page_for
from tests.webapp.ui.pages import send, visible
from webapp.api.accounts.sessions import Sessions

PATH = "/predictions/changes"


def test_an_open_list_is_told_only_of_changes(page, clear_picture):
    send(page, (clear_picture, "a.png"))
    shown = re.search(r'data-position="([^"]+)" data-changes="([^"]+)"', visible(page.get("/predictions")))
    assert shown[2] == PATH
    same = page.get(PATH, headers={"If-None-Match": f'"{shown[1]}"'})
    assert (same.status_code, same.data) == (304, b"")
    send(page, (clear_picture, "b.png"))
    other = page.get(PATH, headers={"If-None-Match": f'"{shown[1]}"'})
    assert other.status_code == 200 and other.get_json()["position"] != shown[1]
    assert other.headers["Cache-Control"] == "no-store"


def test_a_store_that_nothing_was_ever_added_to_has_a_position_too(fake_api):
    page = page_for(fake_api.url)
    fake_api.body = b'{"position": ""}'
    assert page.get(PATH, headers={"If-None-Match": '"none"'}).status_code == 304


def test_a_failure_is_an_error(fake_api):
    page = page_for(fake_api.url)
    for status, body in ((500, b"x"), (404, b"x"), (200, b"{}"), (200, b"x")):
        fake_api.status, fake_api.body = status, body
        assert page.get(PATH, headers={"Accept": "application/json"}).status_code >= 404


def test_what_a_script_reads_by_itself_is_no_use_of_the_session(users, monkeypatch):
    browser, used = users.user("alice", "reader"), []
    monkeypatch.setattr(Sessions, "_used", lambda self, key, session: used.append(key) or session)
    assert browser.get("/predictions", headers={"X-Unattended": "1"}).status_code == 200
    assert browser.get(PATH).status_code == 200
    assert used == []
    browser.get("/predictions")
    assert used
