"""With users, a review says who made it, and only its author or an admin is offered to withdraw it."""

import csv
import io
import json
import re

import pytest

from tests.predictions import VALID
from tests.webapp.ui.pages import visible

FINDING = next(each for each in VALID.values() if each["finding"] == "pneumonia")


def names(page, path: str) -> list[str]:
    """Who made the reviews, the newest first, as the page of a result says."""
    return re.findall(r"By: (.*?)\. <time", visible(page.get(path)))


def offered(page, path: str) -> int:
    """How many reviews the page offers to withdraw."""
    return len(re.findall(r'action="[^"]*/withdrawal', visible(page.get(path))))


@pytest.fixture
def reviewed(users, result) -> dict:
    """The pages of two reviewers and of an admin; alice has contradicted the model, bob then agreed with it."""
    finding = users.api.operator.get(f"/v1{result}").get_json()["finding"]
    other = {"pneumonia": "no pneumonia", "no pneumonia": "pneumonia"}[finding]
    pages = {name: users.user(name, role) for name, role in (
        ("alice", "reviewer"), ("bob", "reviewer"), ("carol", "admin"), ("dan", "reader"))}  # fmt: skip
    pages["alice"].post(f"{result}/feedback", data={"label": other})
    pages["bob"].post(f"{result}/feedback", data={"label": finding})
    return pages


def test_reviews_are_named_and_the_own_one_is_yours(reviewed, result):
    assert names(reviewed["alice"], result) == ["bob", "you"]
    assert names(reviewed["bob"], result) == ["you", "alice"]
    assert names(reviewed["dan"], result) == ["bob", "alice"]


def test_a_contradiction_of_another_reader_is_seen_although_it_does_not_count(reviewed, result):
    text = visible(reviewed["dan"].get(result))
    assert "The review contradicts the model" not in text and text.count("(contradicts the model)") == 1


def test_only_the_author_or_an_admin_is_offered_to_withdraw(reviewed, result):
    assert {name: offered(page, result) for name, page in reviewed.items()} == {
        "alice": 1, "bob": 1, "carol": 2, "dan": 0}  # fmt: skip
    own = re.findall(r'action="([^"]*/withdrawal)', visible(reviewed["alice"].get(result)))
    refused = reviewed["bob"].post(own[0])
    assert refused.status_code == 403 and "Only whoever made a review, or an admin" in visible(refused)
    assert reviewed["carol"].post(own[0]).status_code == 303


def test_both_files_name_who_made_the_review_that_counts(reviewed, result):
    for address in (f"{result}/result.csv", "/predictions.csv"):
        text = reviewed["carol"].get(address).get_data(as_text=True)
        (row,) = csv.DictReader(io.StringIO(text, newline=""))
        assert row["reviewed_by"] == "bob"


def test_files_and_pages_stand_in_the_trail_as_what_they_are(users, reviewed, result):
    reviewed["carol"].get("/predictions.csv")
    reviewed["carol"].get(f"{result}/result.csv")
    reviewed["carol"].get(result)
    reviewed["carol"].get("/predictions")
    entries = [each["entry"] for each in users.api.operator.get("/v1/trail").get_json()["entries"]]
    acts = [(each["act"], each["subject"]) for each in entries if each["actor"] == "carol" and each["act"] != "login"]
    assert acts == [("export", None), ("export", result[-32:]), ("view", result[-32:])]


def test_a_review_from_before_has_no_name(page_of_fake_api, fake_api):
    entry = {"prediction": FINDING["id"], "label": "unsure", "comment": "", "created": "2026-01-02T00:00:00Z"}
    entry |= {"id": "1" * 32, "withdrawn": None}
    fake_api.body = json.dumps({"feedback": [entry], "damaged": 0}).encode()
    api = page_of_fake_api.application.extensions["pneumo"].api
    (review,) = api.feedback(FINDING["id"], "none")["feedback"]
    assert review["who"] is None


def test_a_page_of_an_earlier_version_says_that_it_must_be_updated(page, page_of_fake_api, fake_api):
    fake_api.body = json.dumps({"feedback": [], "damaged": 0, "later": 1}).encode()
    api = page_of_fake_api.application.extensions["pneumo"].api
    with pytest.raises(Exception, match="To update the page, run: pneumoctl up") as refusal:
        api.feedback(FINDING["id"], "none")
    assert refusal.value.title.startswith("This page must be updated")
