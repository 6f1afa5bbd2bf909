"""All results of a stack as a CSV file: whole, private, and without a finding where something is damaged."""

import codecs
import csv
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.scoring import stored_results
from pneumoctl.scoring.api_client import ApiClient
from tests.pneumoctl.scoring.prepared_api import Server
from tests.predictions import FINDING, REFUSAL
from tests.serving import serving

UNREAD = {"picture": True, "review": None, "review_damaged": False, "disagrees": False}
AGAINST = {**UNREAD, "review": "no pneumonia", "disagrees": True}
HURT = {**UNREAD, "review": "unsure", "review_damaged": True}
DAMAGED = {"id": "d" * 32, "error": {"detail": "The record is damaged.", "status": 500}}


def page(*shown: tuple[dict[str, Any], dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A page of the list."""
    listed = {"predictions": [each for each, _ in shown], "entries": [entry for _, entry in shown]}
    return {**listed, "damaged": [], "next": None, "total": 9, "first": 1, "models": []} | more


@pytest.fixture
def server() -> Iterator[Server]:
    """An API with prepared answers."""
    with serving(Server()) as started:
        yield started


def test_every_page_is_written_to_a_private_file(server: Server, tmp_path: Path) -> None:
    formula = {**FINDING, "file": "=1+1.png"}
    origin = {"folder": "ward 3", "study": "ABCDEFGHIJKL"}
    server.say(200, page((formula, {**AGAINST, **origin}), (REFUSAL, UNREAD), next="a+b"))
    server.say(200, page((FINDING, HURT), damaged=[DAMAGED]))
    target = tmp_path / "results.csv"
    counts = stored_results.save(ApiClient(server.url, "t"), target)
    assert counts == {"results": 3, "reviewed": 1, "damaged": 2}
    assert [path for path, _, _ in server.asked] == [
        "/v1/predictions?limit=100",
        "/v1/predictions?limit=100&cursor=a%2Bb",
    ]
    assert target.read_bytes().startswith(codecs.BOM_UTF8)  # else Excel reads names in another character set
    assert stat.S_IMODE(target.stat().st_mode) == 0o600 and [*tmp_path.iterdir()] == [target]
    with target.open(newline="", encoding="utf-8-sig") as file:
        first, refused, hurt, damaged = csv.DictReader(file)
    assert (first["file"], first["finding"], first["review"]) == ("'=1+1.png", "pneumonia", "no pneumonia")
    assert first["review_contradicts_model"] == "yes"
    assert (first["folder"], first["study"], refused["folder"]) == ("ward 3", "ABCDEFGHIJKL", "")
    assert (refused["finding"], refused["probability"], refused["review"]) == ("", "", "")
    assert hurt["review"] == "" and hurt["review_error"]
    assert {name: value for name, value in damaged.items() if value} == {
        "id": "d" * 32,
        "error": "The record is damaged.",
    }


def test_a_list_with_filters_is_written(server: Server, tmp_path: Path) -> None:
    server.say(200, page((FINDING, UNREAD), next="c"))
    server.say(200, page((FINDING, UNREAD)))
    chosen = {"q": "ward 3", "finding": "no pneumonia", "from": "2026-03-31"}
    stored_results.save(ApiClient(server.url, "t"), tmp_path / "results.csv", chosen)
    query = "/v1/predictions?q=ward+3&finding=no+pneumonia&from=2026-03-31&limit=100"
    assert [path for path, _, _ in server.asked] == [query, f"{query}&cursor=c"]


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, {}),
        (200, b"<html>"),
        (200, []),
        (200, {"predictions": [FINDING], "damaged": [], "next": None}),
        (200, page((FINDING, {**UNREAD, "review": "healed"}))),
        (200, page(({**FINDING, "probability": 2}, UNREAD))),
        (200, page((FINDING, UNREAD)) | {"entries": []}),
        (200, page((FINDING, UNREAD), next="again")),
    ],
)
def test_what_cannot_be_read_to_its_end_leaves_no_file(
    server: Server, tmp_path: Path, status: int, answer: Any
) -> None:
    server.say(200, page((FINDING, UNREAD), next="c"))
    server.say(status, answer)
    with pytest.raises(PneumoError):
        stored_results.save(ApiClient(server.url, "t"), tmp_path / "results.csv")
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_takes_no_file_is_an_error(server: Server, tmp_path: Path) -> None:
    server.say(200, page((FINDING, UNREAD)))
    with pytest.raises(PneumoError, match=r"results\.csv"):
        stored_results.save(ApiClient(server.url, "t"), tmp_path / "none" / "results.csv")
