"""All results that a stack has stored, read from its API and written as CSV."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal, NotRequired, TypedDict

from model.schema import Invalid, checked
from model.serving import csv_table
from model.serving.prediction import checked_prediction, current
from pneumoctl.errors import PneumoError, in_words
from pneumoctl.scoring.api_client import OTHER_VERSION, ApiClient
from pneumoctl.stack.free_space import NotWritten

_ROWS = 100  # of one request
_REVIEW_DAMAGED = "a review is damaged: which review counts is not known"


class _Entry(TypedDict):
    picture: bool
    review: Literal["pneumonia", "no pneumonia", "unsure"] | None
    review_damaged: bool
    disagrees: bool
    reviewer: NotRequired[str | None]


class _Problem(TypedDict):
    detail: str
    type: NotRequired[str]
    title: NotRequired[str]
    status: NotRequired[int]
    code: NotRequired[str]
    instance: NotRequired[str]


class _Damaged(TypedDict):
    id: str
    error: _Problem


class _Page(TypedDict):
    entries: list[_Entry]
    damaged: list[_Damaged]
    next: str | None


def save(api: ApiClient, target: Path) -> dict[str, int]:
    """Write all results to a new file that only its owner can read; returns what `write` counts.

    Raises PneumoError; no file then lies at `target`.
    """
    unfinished = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
    try:
        with os.fdopen(
            os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", newline=""
        ) as out:
            counts = write(api, out)
            out.flush()
            os.fsync(out.fileno())
        unfinished.rename(target)
    except OSError as error:
        raise NotWritten(target, in_words(error)) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return counts


def write(api: ApiClient, out: IO[str]) -> dict[str, int]:
    """Write a line for each result; returns how many results, reviewed and damaged ones there are.

    Raises PneumoError; what was written is then incomplete.
    """
    out.write(csv_table.line(csv_table.COLUMNS + csv_table.REVIEW_COLUMNS))
    counts = Counter(results=0, reviewed=0, damaged=0)
    for page in _pages(api):
        try:
            _write_page(page, out, counts)
        except Invalid as error:
            message = f"the API's answer is no valid list of results: {error}"
            raise PneumoError(message, OTHER_VERSION) from error
    return dict(counts)


def _pages(api: ApiClient) -> Iterator[Mapping[str, Any]]:
    cursor, seen = None, set()
    while True:
        page = api.page(cursor, _ROWS)
        if not isinstance(page, dict) or not isinstance(page.get("predictions"), list):
            raise PneumoError("the API's answer is no list of results", OTHER_VERSION)
        yield page
        cursor = page.get("next")
        if cursor is None:
            return
        if cursor in seen:  # it would never end
            raise PneumoError("the API lists the same results again", "pneumoctl logs api")
        seen.add(cursor)


def _write_page(page: Mapping[str, Any], out: IO[str], counts: Counter[str]) -> None:
    known: _Page = checked({name: page.get(name) for name in ("entries", "damaged", "next")}, _Page)
    if len(known["entries"]) != len(page["predictions"]):
        raise Invalid("the entries are not those of the predictions")
    for value, entry in zip(page["predictions"], known["entries"], strict=True):
        document = checked_prediction(current(value))
        fault = _REVIEW_DAMAGED if entry["review_damaged"] else None
        review = csv_table.review_cells(entry["review"], entry["disagrees"], fault, entry.get("reviewer"))
        out.write(csv_table.line(csv_table.cells(document["file"], document) + review))
        counts.update(results=1, reviewed=entry["review"] is not None and not fault, damaged=fault is not None)
    for each in known["damaged"]:
        out.write(
            csv_table.line(
                csv_table.damaged_cells(each["id"], each["error"]["detail"]) + csv_table.review_cells(None, False)
            )
        )
        counts.update(damaged=1)
