"""A received film without a result is an error that every list shows, until a person tries it again or erases it."""

import re

from tests.webapp.api.received.films import film, related
from tests.webapp.ui.pages import assert_no_finding, error_page, visible


def receive(api_app, number: int) -> None:
    """Send a film to the API."""
    body, kind = related(film(number))
    token = api_app.extensions["pneumo"].settings.token
    headers = {"Authorization": f"Bearer {token}"}
    assert (
        api_app.test_client().post("/dicomweb/studies", data=body, content_type=kind, headers=headers).status_code
        == 200
    )


def give_up(api_app) -> None:
    """Give a received film up, as if its scoring had failed."""
    queue = api_app.extensions["pneumo"].store.queue
    queue.fail(queue.claim(60, 0.01), "scoring-died", "The process that scored this film ended 3 times.")


def test_nothing_is_said_while_nothing_was_received(page):
    assert "DICOM" not in visible(page.get("/predictions"))


def test_the_list_says_what_waits_and_what_failed(page, api_app):
    receive(api_app, 1)
    assert "1 film that was sent by DICOM waits to be assessed, the oldest for" in visible(page.get("/predictions"))
    give_up(api_app)
    text = visible(page.get("/predictions"))
    assert "Error: 1 film that was sent by DICOM has no result." in text
    assert_no_finding(text)
    assert "1 received film has no result, because scoring failed" in visible(page.get("/"))


def test_a_film_that_failed_is_tried_again_or_erased(page, api_app):
    for number in (1, 2):
        receive(api_app, number)
        give_up(api_app)
    text = visible(page.get("/received"))
    assert_no_finding(text)
    assert text.count("It has no result.") == 2 and "scoring-died" in text and "CR-" in text
    retry = re.findall(r'action="(/received/\w+/retry)"', text)[0]
    assert page.post(retry).status_code == 303
    text = visible(page.get("/received"))
    assert text.count("It has no result.") == 1 and "<strong>1</strong> waits to be assessed" in text
    (discard,) = re.findall(r'action="(/received/\w+/discard)"', text)
    assert page.post(discard).location == "/received"
    assert "It has no result." not in visible(page.get("/received"))
    error_page(page.post(discard), 404)


def test_another_site_can_do_neither(page, api_app):
    receive(api_app, 1)
    give_up(api_app)
    for action in re.findall(r'action="(/received/\w+/\w+)"', visible(page.get("/received"))):
        assert page.post(action, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert "It has no result." in visible(page.get("/received"))


def test_what_is_not_known_is_an_error_of_the_list(page, monkeypatch, api_app):
    from webapp.api.storage.errors import StoreUnavailable
    from webapp.api.storage.film_queue import FilmQueue

    def away(_):
        raise StoreUnavailable("away")

    monkeypatch.setattr(FilmQueue, "state", away)
    answer = page.get("/predictions")
    assert answer.status_code == 200
    assert "Error: it is not known whether films that were sent by DICOM wait or failed." in visible(answer)
    error_page(page.get("/received"), 503)
