"""The films of a study are erased from the page: those that were shown, after a question."""

import re

import pytest

from tests.webapp.dicom_films import dicom_film
from tests.webapp.ui.pages import assert_no_finding, error_page, send, visible
from webapp.ui import study_views
from webapp.ui.client import ApiClient
from webapp.ui.transport import ApiError


@pytest.fixture
def study(page, clear_picture) -> str:
    """The pseudonym of a study of two films, beside another film."""
    answer = send(
        page,
        *((dicom_film(), "ward/<b>"), (dicom_film(view="LL"), "ward/IM2"), (clear_picture, "c.png")),
        headers={"Accept": "application/json"},
    )
    return answer.get_json()["sources"][0]["study"]


def form(page, study: str) -> list[str]:
    """The ids that the question would erase."""
    return re.findall(r'name="id" value="([^"]*)"', visible(page.get(f"/studies/{study}/erase")))


def test_a_study_is_erased_after_a_question_that_lists_its_films(page, study):
    (first,) = {
        each for each in form(page, study) if "IM2" in visible(page.get(f"/predictions/{each}")).split("<h1")[1][:40]
    }
    link = re.search(r'href="([^"]*)">Erase this study', visible(page.get(f"/predictions/{first}")))[1]
    text = visible(page.get(link))
    assert "Erase 2 films for good" in text and "&lt;b&gt;" in text and "IM2" in text and "c.png" not in text
    assert_no_finding(text)
    ids = form(page, study)
    assert len(ids) == 2
    assert page.get(f"/predictions/{first}").status_code == 200  # the question alone erases nothing
    answer = page.post(link, data={"id": ids})
    assert answer.status_code == 303
    assert "No film of this study is stored any more" in visible(page.get(answer.location))
    for each in ids:
        assert "This result was erased" in error_page(page.get(f"/predictions/{each}"), 404)
    assert "<strong>1</strong> result" in visible(page.get("/predictions"))
    assert page.post(link, data={"id": ids}).status_code == 303  # as by a second click
    assert "No film of this study is stored" in error_page(page.get(link), 404)


def test_a_film_that_came_after_the_question_stays_and_is_told(page, study):
    ids = form(page, study)
    send(page, (dicom_film(seed=9), "late"))
    answer = page.post(f"/studies/{study}/erase", data={"id": ids})
    text = visible(page.get(answer.location))
    assert "1 film is stored, sent since or not erased" in text and "not stored any more" not in text


def test_a_failure_says_what_was_erased_and_what_was_not(page, study, monkeypatch):
    ids, erase = form(page, study), ApiClient.erase

    def fail_later(api, identifier, request_id):
        if identifier == ids[1]:
            raise ApiError(503, "Not now", "Later")
        erase(api, identifier, request_id)

    monkeypatch.setattr(ApiClient, "erase", fail_later)
    answer = page.post(f"/studies/{study}/erase", data={"id": ids})
    text = visible(answer)
    assert answer.status_code == 503 and 'role="alert"' in text
    assert "1 film was erased. 1 was not, or it is not known" in text
    assert ids[1] in text and ids[0] not in text


def test_more_films_than_the_page_erases_are_refused(page, study, monkeypatch):
    monkeypatch.setattr(study_views, "MOST", 1)
    text = visible(page.get(f"/studies/{study}/erase"))
    assert f"pneumoctl results erase --study {study}" in text and 'action="/studies/' not in text


def test_a_damaged_record_is_told_and_not_erased_with_a_study(page, study, redis_server):
    other = re.search(r'data-id="(\w{32})"', visible(page.get("/predictions?q=IM2")))[1]
    redis_server.client().append(f"pneumo:1:record:{other}", b"x")
    assert "1 damaged record may belong to this study" in visible(page.get(f"/studies/{study}/erase"))
    page.post(f"/studies/{study}/erase", data={"id": form(page, study)})
    assert redis_server.client().exists(f"pneumo:1:record:{other}")
    assert "1 damaged record may belong to it" in visible(page.get(f"/studies/{study}/erased"))


@pytest.mark.parametrize("ids", [[], ["x"], ["0" * 32, "x"]])
def test_a_request_that_names_no_films_erases_nothing(page, study, ids):
    error_page(page.post(f"/studies/{study}/erase", data={"id": ids}), 400)
    assert len(form(page, study)) == 2


@pytest.mark.parametrize("path", ["/studies/x/erase", "/studies/x/erased", "/studies/1.2.840/erase"])
def test_an_address_that_names_no_study_is_not_found(page, path):
    error_page(page.get(path), 404)


def test_another_site_erases_nothing(page, study):
    ids = form(page, study)
    page.post(f"/studies/{study}/erase", data={"id": ids}, headers={"Sec-Fetch-Site": "cross-site"})
    assert len(form(page, study)) == 2
