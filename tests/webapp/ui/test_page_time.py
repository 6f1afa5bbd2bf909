"""All reads of a page together have the time of one, whatever the API does with each."""

import time
from types import SimpleNamespace

import pytest
from flask import current_app

from tests.webapp.ui.conftest import page_for
from tests.webapp.ui.pages import assert_no_finding
from webapp.ui import transport
from webapp.ui.transport import ApiError

ID = "ab" * 16
HTML = {"Accept": "text/html"}


@pytest.mark.parametrize("path", ["/results?" + "&".join(f"id={number:032x}" for number in range(20)), "/"])
def test_an_api_that_takes_its_time_for_each_read_gets_that_of_one(fake_api, path):
    """It answers each read with an error that says nothing of the next, after most of the limit."""
    fake_api.status, fake_api.body, fake_api.delay = 404, b'{"detail": "not there"}', 0.9
    begin = time.monotonic()
    answer = page_for(fake_api.url, API_READ_TIMEOUT="1").get(path, headers=HTML)
    assert time.monotonic() - begin < 10 and len(fake_api.asked) <= 2
    assert answer.status_code in (404, 504)
    assert_no_finding(answer.get_data(as_text=True))


def test_the_block_ends_and_the_next_page_has_its_own_time(fake_api, monkeypatch):
    fake_api.status, fake_api.body = 404, b'{"detail": "not there"}'
    page = page_for(fake_api.url, API_READ_TIMEOUT="60")
    with page.application.app_context():
        api = current_app.extensions["pneumo"].api
        with api.together(), monkeypatch.context() as later, pytest.raises(ApiError) as late:
            later.setattr(transport, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 60))
            api.show(ID, "r")
        assert (late.value.status, fake_api.asked) == (504, [])
        with pytest.raises(ApiError) as answered:
            api.show(ID, "r")
    assert answered.value.status == 404
