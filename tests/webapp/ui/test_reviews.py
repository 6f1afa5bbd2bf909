"""On the page of a result: a review is confirmed, compared with the model, and can be withdrawn."""

import json
import re

import pytest

from model.serving.prediction import Prediction
from tests.predictions import VALID
from tests.webapp.ui.pages import error_page, send, visible
from webapp.ui.beside import Reviews

FINDING: Prediction = next(each for each in VALID.values() if each["finding"] == "pneumonia")
AGAINST = "The review contradicts the model"


@pytest.fixture
def path(page, opaque_picture) -> str:
    """The address of a result that the model calls pneumonia."""
    return f"/predictions/{send(page, (opaque_picture, 'a.png')).location[-32:]}"


def said(answer) -> str:
    """The word of confirmation, without its markup."""
    found = re.search(r'id="saved" role="status" tabindex="-1">(.*?)</p>', visible(answer))
    return re.sub(r"<[^>]*>", "", found[1]).strip() if found else ""


def withdrawals(answer) -> list[str]:
    """Where the buttons that withdraw a review lead."""
    return [each.replace("&amp;", "&") for each in re.findall(r'action="([^"]*/withdrawal[^"]*)"', visible(answer))]


def test_a_saved_review_is_confirmed_and_one_that_is_not_stored_never(page, path):
    answer = page.get(page.post(f"{path}/feedback", data={"label": "unsure"}).location)
    assert said(answer) == "✓ Saved: unsure."
    for query in ("", "?saved=", "?saved=" + "0" * 32, "?saved=<b>"):
        assert said(page.get(path + query)) == ""


def test_a_review_that_is_sent_twice_is_shown_once(page, path):
    first, second = (page.post(f"{path}/feedback", data={"label": "unsure", "comment": "dark "}) for _ in range(2))
    assert first.location == second.location
    assert visible(page.get(path)).count("<strong>unsure</strong>") == 1


def test_a_contradiction_is_told_in_words_and_unsure_is_none(page, path):
    page.post(f"{path}/feedback", data={"label": "no pneumonia"})
    text = visible(page.get(path))
    assert f"{AGAINST}: <strong>no pneumonia</strong> by the review, <strong>signs of pneumonia</strong>" in text
    for label in ("unsure", "pneumonia"):
        page.post(f"{path}/feedback", data={"label": label})
        assert AGAINST not in visible(page.get(path))


def test_a_withdrawn_review_stays_visible_and_does_not_count(page, path):
    page.post(f"{path}/feedback", data={"label": "pneumonia"})
    page.post(f"{path}/feedback", data={"label": "no pneumonia"})
    newest, oldest = withdrawals(page.get(f"{path}?q=a&heatmap=1"))
    answer = page.post(newest)
    assert answer.status_code == 303 and answer.location.startswith(f"{path}?q=a&heatmap=1&saved=")
    answer = page.get(answer.location)
    assert said(answer) == "✓ Withdrawn: no pneumonia. It does not count any more."
    text = visible(answer)
    assert "<s>no pneumonia</s>" in text and "; withdrawn <time" in text and AGAINST not in text
    assert '<span class="review"><span aria-hidden="true">✓</span> pneumonia</span>' in visible(
        page.get("/predictions")
    )
    assert withdrawals(answer) == [withdrawals(page.get(path + "?q=a&heatmap=1"))[0]] == [oldest]
    page.post(oldest)
    assert "Unread" in visible(page.get("/predictions"))
    error_page(page.post(f"{path}/feedback/{'0' * 32}/withdrawal"), 404)


def test_a_review_by_an_api_that_gives_no_id_has_no_button_and_no_confirmation(page_of_fake_api, fake_api):
    earlier = {"prediction": "0" * 32, "label": "unsure", "comment": "", "created": "2026-01-01T00:00:00Z"}
    fake_api.body = json.dumps(earlier).encode()
    answer = page_of_fake_api.post(f"/predictions/{'0' * 32}/feedback", data={"label": "unsure"})
    assert answer.location == f"/predictions/{'0' * 32}#feedback"
    reviews = Reviews([{**earlier, "id": "", "withdrawn": None}])
    assert reviews.named("") is None and reviews.counting["label"] == "unsure"


def test_with_a_damaged_review_nothing_is_said_of_a_contradiction():
    entry = {"prediction": "0" * 32, "label": "no pneumonia", "comment": "", "created": "2026", "id": "1"}
    assert Reviews([{**entry, "withdrawn": None}]).contradicts(FINDING)
    assert not Reviews([{**entry, "withdrawn": "2026"}]).contradicts(FINDING)
    assert not Reviews([{**entry, "withdrawn": None}], damaged=1).contradicts(FINDING)
    refused = next(each for each in VALID.values() if each["refusal"])
    assert not Reviews([{**entry, "withdrawn": None}]).contradicts(refused)
