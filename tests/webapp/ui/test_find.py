"""The page finds the result of a file whose answer the browser has lost; the file's name is in no address."""

import hashlib
import json

import pytest

from tests.predictions import INVALID
from tests.webapp.ui.pages import send

JSON = {"Accept": "application/json"}
SENT = {"sha256": "0" * 64, "file": "a.png"}


def test_the_result_is_found_by_content_and_name(page, clear_picture):
    location = send(page, (clear_picture, "ward/a.png")).location
    sent = {"sha256": hashlib.sha256(clear_picture).hexdigest(), "file": "a.png"}
    answer = page.post("/predictions/find", json=sent, headers=JSON)
    assert answer.status_code == 200
    assert answer.get_json()["id"] == location[-32:]
    assert page.post("/predictions/find", json=SENT, headers=JSON).status_code == 404


@pytest.mark.parametrize("document", [{}, {"sha256": "x", "file": "a.png"}, None])
def test_a_request_that_names_no_file_is_rejected(page_of_fake_api, fake_api, document):
    assert page_of_fake_api.post("/predictions/find", json=document, headers=JSON).status_code == 400
    assert fake_api.asked == []


@pytest.mark.parametrize("name", INVALID)
def test_what_is_no_prediction_is_an_error(page_of_fake_api, fake_api, name):
    fake_api.body = json.dumps(INVALID[name]).encode()
    answer = page_of_fake_api.post("/predictions/find", json=SENT, headers=JSON)
    assert answer.status_code == 502
    assert answer.mimetype == "application/problem+json"


def test_a_lost_answer_is_not_called_a_lost_upload(page_of_fake_api, fake_api):
    fake_api.drop = True
    answer = page_of_fake_api.post("/predictions/find", json=SENT, headers=JSON)
    assert answer.status_code == 502
    assert "may have been assessed" not in answer.get_json()["detail"]
    assert [path for _, path, _ in fake_api.asked] == ["/v1/predictions/find"] * 2
