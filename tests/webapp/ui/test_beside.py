"""A result is shown with the reason in place of a picture, a heat map or reviews that are not there."""

import pytest

from tests.webapp.api.records import settings
from tests.webapp.ui.pages import VERDICTS, send, visible
from webapp.api.classifier import Scorer
from webapp.api.storage.store import Store
from webapp.ui.client import ApiClient
from webapp.ui.transport import ApiError

LOST = "The stored picture is lost or damaged, so it is not shown. The result itself is intact."


def detail(page, identifier: str, query: str = "") -> str:
    """The text of a result's page, which must be shown."""
    answer = page.get(f"/predictions/{identifier}{query}")
    assert answer.status_code == 200
    return visible(answer)


@pytest.mark.parametrize("harm", ["lost", "damaged"])
def test_a_result_without_its_picture_is_shown_with_the_reason(page, opaque_picture, redis_server, harm):
    location = send(page, (opaque_picture, "b.png")).location
    identifier, client = location[-32:], redis_server.client()
    key = f"pneumo:1:image:{identifier}"
    client.delete(key) if harm == "lost" else client.setrange(key, 30, b"X")
    for text in (detail(page, identifier), detail(page, identifier, "?heatmap=1"), visible(page.get(location))):
        assert VERDICTS[0] in text and f"Error: the picture cannot be shown. {LOST}" in text
        assert "image.png" not in text and "heatmap.png" not in text and "heatmap=1" not in text
    assert page.get(f"/predictions/{identifier}/image.png").status_code == 502


def test_a_refused_file_says_why_there_is_no_picture_and_no_heat_map(page):
    location = send(page, (b"broken", "c.png")).location
    text = detail(page, location[-32:], "?heatmap=1")
    assert "No picture: No picture is stored with this result: the file could not be decoded." in text
    assert "No heat map: The picture was not assessed, so there is no heat map." in text
    assert "heatmap.png" not in text and "heatmap=1" not in text and 'role="alert"' not in text
    assert "the file could not be decoded" in visible(page.get(location))


def test_a_result_of_another_model_says_why_there_is_no_heat_map(page, opaque_picture, monkeypatch):
    location = send(page, (opaque_picture, "b.png")).location
    monkeypatch.setattr(Scorer, "version", property(lambda _: "another"))
    text = detail(page, location[-32:])
    assert "No heat map: Another model made this prediction; this one cannot explain it." in text
    assert "image.png" in text and "heatmap" not in text


def test_a_heat_map_that_is_cached_is_shown_without_picture_and_model(page, opaque_picture, redis_server, monkeypatch):
    identifier = send(page, (opaque_picture, "b.png")).location[-32:]
    assert page.get(f"/predictions/{identifier}/heatmap.png").status_code == 200
    redis_server.client().delete(f"pneumo:1:image:{identifier}")
    monkeypatch.setattr(Scorer, "version", property(lambda _: "another"))
    text = detail(page, identifier, "?heatmap=1")
    assert "heatmap.png" in text and LOST in text
    assert page.get(f"/predictions/{identifier}/heatmap.png").status_code == 200


def test_results_are_shown_while_what_is_beside_them_cannot_be_read(page, clear_picture, opaque_picture, monkeypatch):
    def slow(self, identifier, request_id):
        raise ApiError(504, "The assessment service took too long", "The API did not respond in time.")

    location = send(page, (clear_picture, "a.png"), (opaque_picture, "b.png")).location
    monkeypatch.setattr(ApiClient, "pictures", slow)
    monkeypatch.setattr(ApiClient, "feedback", slow)
    text = visible(page.get(location))
    assert VERDICTS[0] in text and VERDICTS[1] in text
    assert text.count("The API did not respond in time.") == 2
    text = detail(page, location[-32:])
    assert VERDICTS[0] in text
    assert "Error: the picture cannot be shown. The assessment service took too long." in text
    assert "Error: the feedback cannot be shown. The assessment service took too long." in text


def test_what_fails_of_one_result_is_not_said_of_the_next(
    page, clear_picture, opaque_picture, redis_server, monkeypatch
):
    location = send(page, (clear_picture, "a.png"), (opaque_picture, "b.png")).location
    second, ask = location[-32:], ApiClient.pictures

    def damaging(self, identifier, request_id):
        if identifier != second:
            redis_server.client().append(f"pneumo:1:record:{identifier}", b" ")
        return ask(self, identifier, request_id)

    monkeypatch.setattr(ApiClient, "pictures", damaging)
    text = visible(page.get(location))
    assert text.count("Error: the picture cannot be shown.") == text.count("The record is damaged") == 1
    assert f"/predictions/{second}/image.png" in text


def test_a_partial_failure_keeps_the_pictures_of_the_others(page, clear_picture, monkeypatch):
    whole = Scorer.score

    def score(self, content, file, film_bytes=0):
        if file == "bad.png":
            raise ArithmeticError
        return whole(self, content, file, film_bytes)

    monkeypatch.setattr(Scorer, "score", score)
    answer = send(page, (clear_picture, "a.png"), (clear_picture, "bad.png"))
    assert answer.status_code == 207
    assert visible(answer).count("image.png") == 1


def test_a_result_that_was_erased_while_it_is_shown_says_so_where_its_picture_would_be(
    page, clear_picture, redis_server, monkeypatch
):
    location = send(page, (clear_picture, "a.png")).location
    store, ask = Store.open(settings(redis_server.port)), ApiClient.pictures

    def erasing(self, identifier, request_id):
        store.eraser.erase(identifier)
        return ask(self, identifier, request_id)

    monkeypatch.setattr(ApiClient, "pictures", erasing)
    text = visible(page.get(location))
    assert "This result was erased: its picture and its reviews, too." in text and "another version" not in text
