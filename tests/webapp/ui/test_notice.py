"""The upload page says that the store is nearly full, and that nothing can be stored; an upload then says why."""

import pytest

from tests.webapp.ui.pages import error_page, send, visible
from webapp.api.storage.errors import StoreFull
from webapp.api.storage.retention import Clock
from webapp.api.storage.store import Store
from webapp.api.storage.usage import Usage
from webapp.ui.responses import Invalid, notice

MB = 2**20


@pytest.mark.parametrize(
    ("usage", "words"),
    [
        (Usage(500 * MB, 1000 * MB), None),
        (
            Usage(850 * MB, 1000 * MB),
            "! The store is 85 % full (850 of 1000 MB); when it is full, uploads are refused.",
        ),
        (Usage(999 * MB, 1000 * MB), "! Uploads cannot be stored: the store is 99 % full (999 of 1000 MB)."),
    ],
)
def test_the_upload_page_says_how_full_the_store_is(page, monkeypatch, usage, words):
    monkeypatch.setattr(Store, "usage", lambda _: usage)
    answer = page.get("/")
    text = visible(answer).replace('<span aria-hidden="true">!</span>', "!")
    assert answer.status_code == 200
    assert ("pneumoctl status" in text) == (words is not None)
    assert words is None or words in text


def test_a_full_store_is_the_reason_that_an_upload_gives(page, clear_picture, monkeypatch):
    def put(*_):
        raise StoreFull("the store is full")

    monkeypatch.setattr(Store, "put", put)
    text = error_page(send(page, (clear_picture, "a.png")), 507)
    assert "The store is full" in text and "retention_days" in text


def test_an_api_that_says_nothing_of_its_store_gives_no_notice(page_of_fake_api, fake_api):
    fake_api.body = b'{"predictions": [], "damaged": [], "next": null, "total": 0}'
    answer = page_of_fake_api.get("/")
    assert answer.status_code == 200 and "pneumoctl status" not in visible(answer)


def test_an_api_of_a_later_version_may_say_more():
    check = {"ok": True, "fault": None}
    said = {
        "status": "degraded",
        "checks": {"store": check | {"warning": "nearly full", "new": 1}, "other": {}},
        "more": 1,
    }
    assert notice(said) == "nearly full"
    assert notice({"checks": {"store": check, "clock": check | {"warning": "ahead"}}}) == "ahead"
    for wrong in (None, [], {}, {"checks": {}}, {"checks": {"store": {"ok": 1}}}, {"checks": {"store": None}}):
        with pytest.raises(Invalid):
            notice(wrong)


def test_a_fault_that_nobody_foresaw_is_not_quoted_on_the_page(page, monkeypatch):
    def fail(_):
        raise OSError("/etc/secret: no such file")

    monkeypatch.setattr(Store, "usage", fail)
    text = visible(page.get("/"))
    assert "Uploads cannot be stored: the store cannot be used" in text
    assert "secret" not in text and "OSError" not in text


def test_the_upload_page_says_that_a_clock_is_wrong(page, monkeypatch):
    monkeypatch.setattr(Store, "usage", lambda _: Usage(850 * MB, 1000 * MB))
    monkeypatch.setattr(Store, "clock", lambda _: Clock(7200.0, 0.0))
    text = visible(page.get("/"))
    assert "The store is 85 % full" in text
    assert "; and this host&#39;s clock is 7200 s ahead of that of Redis, so results may be hidden too early." in text
