"""Results as CSV files: whole or an error, with the review that counts, and without a cell that runs."""

import codecs
import csv
import io
import json
from unittest.mock import Mock

import pytest

from tests.predictions import VALID
from tests.webapp.dicom_films import dicom_film
from tests.webapp.ui.pages import error_page, send, visible
from webapp.ui import downloads
from webapp.ui.client import ApiClient
from webapp.ui.transport import ApiError

FINDING = next(each for each in VALID.values() if each["finding"] == "pneumonia")
ENTRY = {"picture": True, "review": "unsure", "review_damaged": False, "disagrees": False}
PAGE = {"predictions": [FINDING], "entries": [ENTRY], "damaged": [], "next": None, "total": 1, "first": 1, "models": []}


def rows(answer) -> list[dict[str, str]]:
    """The rows of a downloaded file, by their columns."""
    assert (answer.status_code, answer.content_type) == (200, "text/csv; charset=utf-8")
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.data.startswith(codecs.BOM_UTF8)  # else Excel reads names in another character set
    return list(csv.DictReader(io.StringIO(answer.data.decode("utf-8-sig"), newline="")))


@pytest.fixture
def ids(page, clear_picture, opaque_picture) -> dict[str, str]:
    """Three results, one of them reviewed against the model; their ids by file name."""
    files = [("=1+1.png", clear_picture), ("ü, b.png", opaque_picture), ("c.png", b"broken")]
    found = {name: send(page, (content, name)).location[-32:] for name, content in files}
    page.post(f"/predictions/{found['ü, b.png']}/feedback", data={"label": "no pneumonia"})
    return found


def test_the_present_list_is_downloaded(page, ids, monkeypatch):
    monkeypatch.setattr(downloads, "_ROWS", 2)
    found = rows(page.get("/predictions.csv"))
    assert [row["file"] for row in found] == ["c.png", "ü, b.png", "'=1+1.png"]
    assert [row["finding"] for row in found] == ["", "pneumonia", "no pneumonia"]
    assert (found[0]["refusal_code"], found[0]["probability"], found[0]["words"]) == ("unreadable", "", "")
    assert [row["review"] for row in found] == ["", "no pneumonia", ""]
    assert [row["review_contradicts_model"] for row in found] == ["", "yes", ""]
    link = "/predictions.csv?q=png&amp;review=disagreement"
    assert f'href="{link}"' in visible(page.get("/predictions?review=disagreement&q=png"))
    assert [row["file"] for row in rows(page.get(link.replace("&amp;", "&")))] == ["ü, b.png"]
    error_page(page.get("/predictions.csv?review=x"), 400)


def test_one_result_is_downloaded_with_the_review_that_counts(page, ids, redis_server):
    path = f"/predictions/{ids['ü, b.png']}"
    assert f'href="{path}/result.csv"' in visible(page.get(path))
    (row,) = rows(page.get(f"{path}/result.csv"))
    assert (row["id"], row["review"], row["review_contradicts_model"]) == (path[-32:], "no pneumonia", "yes")
    client, key = redis_server.client(), f"pneumo:1:feedback:{path[-32:]}"
    client.lset(key, 0, client.lindex(key, 0) + b"x")
    for address in (f"{path}/result.csv", "/predictions.csv?q=b.png"):
        (row,) = rows(page.get(address))
        assert (row["review"], row["review_contradicts_model"]) == ("", "")
        assert row["review_error"].startswith("a review is damaged")
    error_page(page.get(f"/predictions/{'0' * 32}/result.csv"), 404)


def test_a_damaged_record_is_an_error_in_its_row_without_a_finding(page, ids, redis_server):
    redis_server.client().append(f"pneumo:1:record:{ids['c.png']}", b"x")
    (row,) = [row for row in rows(page.get("/predictions.csv")) if row["error"]]
    assert row["id"] == ids["c.png"]
    assert not any(value for name, value in row.items() if name not in ("id", "error"))


def test_a_list_that_is_too_long_is_an_error_with_the_way_on(page_of_fake_api, fake_api):
    fake_api.body = json.dumps(PAGE | {"total": downloads.MOST + 1}).encode()
    text = visible(page_of_fake_api.get("/predictions.csv"))
    assert "The list has 10,001 results; a file has at most 10,000." in text and "results report" in text


def test_a_download_that_breaks_off_says_so_and_ends_as_a_failed_one(page_of_fake_api, fake_api, monkeypatch):
    def lines(limit: int) -> str:
        """What arrives before the download fails."""
        fake_api.status, fake_api.body = 200, json.dumps(PAGE | {"next": "c"}).encode()
        parts, answer = [], page_of_fake_api.get("/predictions.csv", buffered=False)
        with pytest.raises(downloads.Incomplete):
            for part in answer.response:
                parts.append(part)
                if len(parts) == limit:
                    fake_api.status, fake_api.body = 500, b"broken"
        answer.close()
        return b"".join(parts).decode()

    assert "THIS FILE IS INCOMPLETE. The assessment service failed." in lines(2).splitlines()[-1]
    monkeypatch.setattr(downloads, "_SECONDS", -1)
    assert "THIS FILE IS INCOMPLETE. The download took too long." in lines(9).splitlines()[-1]
    for _ in range(5):  # every download gave its place back
        fake_api.status, fake_api.body = 200, json.dumps(PAGE).encode()
        assert len(rows(page_of_fake_api.get("/predictions.csv"))) == 1


def test_only_a_few_downloads_run_at_the_same_time(page_of_fake_api, fake_api):
    fake_api.body = json.dumps(PAGE | {"next": "c"}).encode()
    running = [page_of_fake_api.get("/predictions.csv", buffered=False) for _ in range(2)]
    text = error_page(page_of_fake_api.get("/predictions.csv"), 503)
    assert "Too many downloads at once" in text
    for each in running:
        each.close()
    fake_api.body = json.dumps(PAGE).encode()
    assert len(rows(page_of_fake_api.get("/predictions.csv"))) == 1


def test_folder_and_study_are_downloaded(page):
    answer = send(page, (dicom_film(), "=ward/IM1"), headers={"Accept": "application/json"}).get_json()
    (film,), (source,) = answer["predictions"], answer["sources"]
    for address in (f"/predictions/{film['id']}/result.csv", f"/predictions.csv?study={source['study']}"):
        (row,) = rows(page.get(address))
        assert (row["file"], row["folder"], row["study"]) == ("IM1", "'=ward", source["study"])


def test_a_file_without_the_folder_that_could_not_be_read_is_not_made(page, ids, monkeypatch):
    monkeypatch.setattr(ApiClient, "source", Mock(side_effect=ApiError(503, "Not now", "Later")))
    error_page(page.get(f"/predictions/{ids['c.png']}/result.csv"), 503)
