"""The 16-bit film of a result passes the page as it is; one that is not there is no error."""

import pytest

from tests.webapp.ui.pages import error_page

PATH = f"/predictions/{'ab' * 16}/view.bin"


def test_the_film_is_passed_on_as_it_is(page_of_fake_api, fake_api):
    fake_api.body, fake_api.kind = b"PN16 whatever follows", "application/octet-stream"
    answer = page_of_fake_api.get(PATH)
    assert (answer.status_code, answer.mimetype, answer.data) == (200, "application/octet-stream", fake_api.body)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "body", [b'{"detail": "none", "code": "no-view"}', b"<html>an earlier version has no such route"]
)
def test_a_result_without_a_film_is_no_error(page_of_fake_api, fake_api, body):
    fake_api.status, fake_api.body = 404, body
    answer = page_of_fake_api.get(PATH)
    assert (answer.status_code, answer.data) == (204, b"")


def test_what_is_no_film_or_is_damaged_is_an_error(page_of_fake_api, fake_api):
    fake_api.body = b"\x89PNG"
    error_page(page_of_fake_api.get(PATH), 502)
    fake_api.status, fake_api.body = 500, b'{"detail": "lost or damaged", "code": "picture-damaged"}'
    assert "lost or damaged" in error_page(page_of_fake_api.get(PATH), 502)
