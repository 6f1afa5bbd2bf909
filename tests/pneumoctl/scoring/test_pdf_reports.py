"""The stored results of a list as a PDF file: whole and private, and what is damaged is an error in it."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model import phantom
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.scoring import pdf_page, pdf_reports
from pneumoctl.scoring.api_client import ApiClient
from tests.pneumoctl.scoring.pdf_texts import pages
from tests.pneumoctl.scoring.prepared_api import Server
from tests.pneumoctl.scoring.test_stored_results import AGAINST, DAMAGED, HURT, UNREAD, page
from tests.predictions import FINDING, REFUSAL
from tests.serving import serving

PICTURE = phantom.png(101, 256, True)


COUNTING = {"label": "no pneumonia", "who": None, "created": "2026-03-31T08:15:00Z", "withdrawn": None}
UNSURE = {**COUNTING, "label": "unsure"}


def feedback(*reviews: dict[str, Any], damaged: int = 0) -> dict[str, Any]:
    """The API's answer about the reviews of a result."""
    return {"feedback": [*reviews], "damaged": damaged}


@pytest.fixture
def server() -> Iterator[Server]:
    """An API with prepared answers."""
    with serving(Server()) as started:
        yield started


def test_each_result_of_the_list_has_a_page(server: Server, tmp_path: Path) -> None:
    server.say(200, page((FINDING, AGAINST), (REFUSAL, UNREAD), (FINDING, HURT), (FINDING, UNREAD), damaged=[DAMAGED]))
    server.say(200, PICTURE)
    server.say(200, feedback(UNSURE, {**COUNTING, "label": "pneumonia", "withdrawn": "2026-03-31T08:20:00Z"}, COUNTING))
    server.say(404, {"title": "Not Found", "detail": "No picture is stored with this result."})
    server.say(200, PICTURE[:2000])
    server.say(500, {"title": "Internal Server Error", "detail": "The stored picture is lost or damaged."})
    target = tmp_path / "ward.pdf"
    counts = pdf_reports.save(ApiClient(server.url, "t"), target, {"q": "ward 3", "from": "2026-03-31"})
    assert counts == {"results": 4, "reviewed": 1, "damaged": 3}
    assert stat.S_IMODE(target.stat().st_mode) == 0o600 and [*tmp_path.iterdir()] == [target]
    first, refused, cut, lost, damaged = pages(target)
    assert "no pneumonia. It contradicts the model." in first and "in the file name: ward 3; from: 2026-03-31" in first
    assert "Reviewed by not recorded" in first and "Reviewed 2026-03-31 08:15:00 UTC" in first
    assert "Not assessed" in refused and "No picture." in refused and "Error" not in refused
    assert "Error: the picture cannot be shown. The picture from the API is cut off or damaged." in cut
    assert "Error: a review is damaged" in cut
    assert "The stored picture is lost or damaged." in lost and "Signs of pneumonia found by the model" in lost
    assert "Error: The record is damaged." in damaged and "P(pneumonia)" not in damaged
    assert server.asked[1][0] == f"/v1/predictions/{FINDING['id']}/image.png"


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (200, feedback(UNSURE), "changed meanwhile"),
        (200, feedback({**COUNTING, "who": "berta"}), "changed meanwhile"),
        (200, feedback({**COUNTING, "withdrawn": "2026-03-31T08:20:00Z"}), "changed meanwhile"),
        (200, feedback(COUNTING, damaged=1), "changed meanwhile"),
        (200, [], "no list of reviews"),
        (500, {"title": "Internal Server Error", "detail": "lost"}, "lost"),
    ],
)
def test_a_review_whose_time_is_not_known_is_an_error_beside_it(
    server: Server, tmp_path: Path, status: int, answer: Any, words: str
) -> None:
    server.say(200, page((FINDING, AGAINST)))
    server.say(200, PICTURE)
    server.say(status, answer)
    counts = pdf_reports.save(ApiClient(server.url, "t"), tmp_path / "ward.pdf")
    assert counts == {"results": 1, "reviewed": 1, "damaged": 1}
    (found,) = pages(tmp_path / "ward.pdf")
    assert "Error: the time of the review is not known" in found and words in found and "Review no pneumonia" in found


def test_a_list_without_results_says_so(server: Server, tmp_path: Path) -> None:
    server.say(200, page())
    target = tmp_path / "none.pdf"
    counts = pdf_reports.save(ApiClient(server.url, "t"), target, {"from": "2026-03-31"})
    assert counts == {"results": 0, "reviewed": 0, "damaged": 0}
    (found,) = pages(target)
    assert pdf_page.EMPTY in found and "from: 2026-03-31" in found and "P(pneumonia)" not in found


@pytest.mark.parametrize(
    ("answer", "words"),
    [(page(next="again"), "no list|same results"), ([], "no list"), (None, "refused")],
)
def test_what_cannot_be_reported_leaves_no_file(server: Server, tmp_path: Path, answer: Any, words: str) -> None:
    server.say(500 if answer is None else 200, answer)
    with pytest.raises(PneumoError, match=words):
        pdf_reports.save(ApiClient(server.url, "t"), tmp_path / "x.pdf")
    assert not [*tmp_path.iterdir()]


def test_a_list_that_is_too_long_names_the_way_on(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf_reports, "MOST", 1)
    server.say(200, page((FINDING, UNREAD), (FINDING, UNREAD)))
    server.say(200, PICTURE)
    with pytest.raises(PneumoError, match="more than 1 results") as caught:
        pdf_reports.save(ApiClient(server.url, "t"), tmp_path / "x.pdf")
    assert caught.value.code == Exit.USAGE and "CSV" in caught.value.hint
