"""The results that a stack has stored, all or those of a list, read from its API and written as CSV."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Literal, NamedTuple, NotRequired, TypedDict

from model.schema import Invalid, checked
from model.serving import csv_table
from model.serving.prediction import Prediction, checked_prediction, current
from pneumoctl.errors import PneumoError, in_words
from pneumoctl.scoring.api_client import OTHER_VERSION, ApiClient
from pneumoctl.stack.free_space import NotWritten

_ROWS = 100  # of one request
EVERYTHING: Mapping[str, str] = MappingProxyType({})  # the list without filters, newest first
_COLUMNS = csv_table.COLUMNS + csv_table.REVIEW_COLUMNS + csv_table.SOURCE_COLUMNS
_REVIEW_DAMAGED = "a review is damaged: which review counts is not known"


class _Entry(TypedDict):
    picture: bool
    review: Literal["pneumonia", "no pneumonia", "unsure"] | None
    review_damaged: bool
    disagrees: bool
    reviewer: NotRequired[str | None]
    folder: NotRequired[str]
    study: NotRequired[str | None]


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


class StoredResult(NamedTuple):
    """A stored result with the review that counts; `document`: None if its record is damaged.

    error: why there is no document. review_error: why the review is not known. source: its folder and study, if known.
    reviewer: who made the review; None: not recorded.
    """

    id: str
    document: Prediction | None
    error: str | None = None
    review: str | None = None
    contradicts: bool = False
    review_error: str | None = None
    source: tuple[str | None, str | None] = (None, None)
    reviewer: str | None = None


@contextmanager
def new_file(target: Path) -> Iterator[IO[bytes]]:
    """A new file that only its owner can read; it has its name only if the block succeeds. Raises PneumoError."""
    unfinished = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        unfinished.rename(target)
    except OSError as error:
        raise NotWritten(target, in_words(error)) from error
    finally:
        unfinished.unlink(missing_ok=True)


def save(api: ApiClient, target: Path, chosen: Mapping[str, str] = EVERYTHING) -> dict[str, int]:
    """Write the results of a list to a new CSV file; returns how many results, reviewed and damaged ones there are.

    Raises PneumoError; no file then lies at `target`.
    """
    counts = Counter(results=0, reviewed=0, damaged=0)
    with new_file(target) as out:
        out.write(_encoded(csv_table.BOM + csv_table.line(_COLUMNS)))
        for result in listed(api, chosen):
            out.write(_encoded(_line(result)))
            counts.update(counted(result))
    return dict(counts)


def counted(result: StoredResult) -> dict[str, int]:
    """What one result adds to the counts of `save`."""
    damaged = bool(result.error or result.review_error)
    return {"results": result.document is not None, "reviewed": result.review is not None, "damaged": damaged}


def listed(api: ApiClient, chosen: Mapping[str, str] = EVERYTHING) -> Iterator[StoredResult]:
    """The results of a list, in its order. Raises PneumoError if it cannot be read to its end."""
    for page in _pages(api, chosen):
        try:
            yield from _results(page)
        except Invalid as error:
            message = f"the API's answer is no valid list of results: {error}"
            raise PneumoError(message, OTHER_VERSION) from error


def _line(result: StoredResult) -> str:
    further = csv_table.review_cells(result.review, result.contradicts, result.review_error, result.reviewer)
    further += list(result.source)
    if result.document is None:
        return csv_table.line(csv_table.damaged_cells(result.id, result.error or "") + further)
    return csv_table.line(csv_table.cells(result.document["file"], result.document) + further)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _pages(api: ApiClient, chosen: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    cursor, seen = None, set()
    while True:
        page = api.page(cursor, _ROWS, chosen)
        if not isinstance(page, dict) or not isinstance(page.get("predictions"), list):
            raise PneumoError("the API's answer is no list of results", OTHER_VERSION)
        yield page
        cursor = page.get("next")
        if cursor is None:
            return
        if cursor in seen:  # it would never end
            raise PneumoError("the API lists the same results again", "pneumoctl logs api")
        seen.add(cursor)


def _results(page: Mapping[str, Any]) -> list[StoredResult]:
    """The results of a page, checked in every field. Raises Invalid."""
    known: _Page = checked({name: page.get(name) for name in ("entries", "damaged", "next")}, _Page)
    if len(known["entries"]) != len(page["predictions"]):
        raise Invalid("the entries are not those of the predictions")
    results = []
    for value, entry in zip(page["predictions"], known["entries"], strict=True):
        document = checked_prediction(current(value))
        source = entry.get("folder"), entry.get("study")
        if entry["review_damaged"]:
            results.append(StoredResult(document["id"], document, review_error=_REVIEW_DAMAGED, source=source))
        else:
            review = entry["review"], entry["disagrees"], None, source, entry.get("reviewer")
            results.append(StoredResult(document["id"], document, None, *review))
    return results + [StoredResult(each["id"], None, each["error"]["detail"]) for each in known["damaged"]]
