"""Where a file came from, on every page: its folder, its study, and the same bytes under other names."""

import json

import pytest

from tests.predictions import FINDING
from tests.webapp.dicom_films import dicom_film
from tests.webapp.ui.conftest import page_for
from tests.webapp.ui.pages import error_page, send, visible
from tests.webapp.ui.test_responses import ENTRY, PAGE
from tests.webapp.ui.test_worklist import names
from webapp.ui.client import ApiClient
from webapp.ui.transport import ApiError

ASKS_JSON = {"Accept": "application/json"}


def sent(page, *files: tuple[bytes, str]) -> dict:
    """The answer to an upload by the script of the page."""
    answer = send(page, *files, headers=ASKS_JSON)
    assert answer.status_code == 201, answer.data
    return answer.get_json()


def test_the_list_shows_folder_and_study_and_joins_films_of_a_study(page, clear_picture):
    answer = sent(page, (clear_picture, "c.png"), (dicom_film(), "ward/p1/IM1"), (dicom_film(view="LL"), "ward/p1/IM2"))
    study = answer["sources"][1]["study"]
    text = visible(page.get("/predictions"))
    assert names(page.get("/predictions")) == ["IM2", "IM1", "c.png"]
    assert text.count('<bdi class="folder" title="ward/p1">ward/p1</bdi>') == 2
    assert text.count(f'href="/predictions?study={study}"') == 2
    assert text.count('class="new joined"') == 1 and text.count("same study as above") == 1
    chosen = page.get(f"/predictions?study={study}&q=IM1")
    assert names(chosen) == ["IM1"]
    assert f'<option value="{study}" selected>' in visible(chosen) and f"study {study}" in visible(chosen)


@pytest.mark.parametrize("study", ["x", "abcdefghijkl", "1.2.840"])
def test_an_address_that_names_no_study_is_an_error(page, study):
    assert "names no study" in error_page(page.get(f"/predictions?study={study}"), 400)


def test_the_page_of_a_result_shows_folder_study_and_the_other_films(page):
    first, second = sent(page, (dicom_film(), "ward/IM1"), (dicom_film(view="LL"), "ward/IM2"))["predictions"]
    text = visible(page.get(f"/predictions/{first['id']}"))
    assert '<bdi class="file">ward</bdi>' in text and ": 2 films" in text
    assert f"/predictions/{second['id']}?study=" in text and f"/predictions/{first['id']}?study=" not in text


def test_a_file_that_was_seen_before_says_so(page, clear_picture):
    answer = sent(page, (clear_picture, "a/1.png"))
    assert answer["sources"][0]["same"] == []
    again = sent(page, (clear_picture, "b/1.png"), (clear_picture, "b/2.png"))
    assert [[each["file"] for each in source["same"]] for source in again["sources"]] == [["1.png"], ["1.png"]]
    first, second = again["predictions"]
    for path in (f"/predictions/{second['id']}", f"/results?id={second['id']}"):
        text = visible(page.get(path))
        assert (
            f'The same file is also stored as <a href="/predictions/{first["id"]}"><bdi class="file">1.png</bdi></a>'
            in text
        )
        assert 'in <bdi class="file">a</bdi>' in text


def test_an_origin_that_cannot_be_read_is_an_error_beside_the_result(page, clear_picture, monkeypatch):
    (first,) = sent(page, (clear_picture, "a/1.png"))["predictions"]

    def fail(*_):
        raise ApiError(503, "Not now", "Later")

    monkeypatch.setattr(ApiClient, "source", fail)
    text = visible(page.get(f"/predictions/{first['id']}"))
    assert "Error: where the file came from cannot be shown. Not now. Later" in text
    assert "Below the balanced operating point" in text


def test_a_study_that_cannot_be_read_is_an_error_beside_the_result(page, monkeypatch):
    (first,) = sent(page, (dicom_film(), "IM1"))["predictions"]

    def fail(*_):
        raise ApiError(503, "Not now", "Later")

    monkeypatch.setattr(ApiClient, "page", fail)
    assert "Error: the films of the study cannot be shown. Not now. Later" in visible(
        page.get(f"/predictions/{first['id']}")
    )


def test_an_api_of_an_earlier_version_tells_no_origin(fake_api):
    page = page_for(fake_api.url)
    entry = {name: value for name, value in ENTRY.items() if name not in ("folder", "study")}
    fake_api.body = json.dumps(PAGE | {"entries": [entry]}).encode()
    assert names(page.get("/predictions")) == ["a.png"]
    fake_api.status, fake_api.body = 201, json.dumps({"predictions": [FINDING]}).encode()
    answer = send(page, (b"x", "a.png"), headers=ASKS_JSON).get_json()
    assert answer["sources"] == [{"folder": "", "study": None, "same": None}]


def test_sources_that_are_not_those_of_the_predictions_are_an_error(fake_api):
    fake_api.status = 201
    source = {"folder": "", "study": None, "same": None}
    fake_api.body = json.dumps({"predictions": [FINDING], "sources": [source, source]}).encode()
    error_page(send(page_for(fake_api.url), (b"x", "a.png")), 502)
