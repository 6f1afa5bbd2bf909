"""Results as CSV files: one, or all of a list."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from http import HTTPStatus

from flask import Blueprint, Response, g

from model.serving import csv_table
from webapp.concurrency import Busy
from webapp.documents import Entry
from webapp.ui import beside, session
from webapp.ui.client import ApiClient
from webapp.ui.languages.said import say
from webapp.ui.list_query import ListQuery
from webapp.ui.responses import ResultPage
from webapp.ui.transport import ApiError
from webapp.ui.views import backend

files = Blueprint("downloads", __name__)
MOST = 10_000  # results of one file
_SECONDS = 120.0  # for one file
_ROWS = 100  # of one request to the API
_HEAD = csv_table.BOM + csv_table.line(csv_table.COLUMNS + csv_table.REVIEW_COLUMNS + csv_table.SOURCE_COLUMNS)
_REVIEW_DAMAGED = "a review is damaged: which review counts is not known"


class Incomplete(Exception):
    """A download ended before its last result; the browser must not take it for a whole file."""


@files.get("/predictions.csv")
def results() -> Response:
    """All results of a list, or an error: never a part of it."""
    query, held = ListQuery.read(), ExitStack()
    try:
        held.enter_context(backend().downloads.slot())
        first = backend().api.page(query.fields, None, _ROWS, g.request_id, export=True)
        _require_few(first.total)
    except Busy as error:
        detail = say("Wait until they have ended, then try again.")
        raise ApiError(503, say("Too many downloads at once"), detail, str(error.retry_after)) from error
    except BaseException:
        held.close()
        raise
    lines = _lines(backend().api, query, first, g.request_id, session.credentials())
    response = _file(lines, "pneumoctl-results.csv")
    response.call_on_close(held.close)
    return response


@files.get("/predictions/<identifier:identifier>/result.csv")
def result(identifier: str) -> Response:
    """One result; an error if it or its reviews cannot be read."""
    api = backend().api
    with api.together():
        document, found = api.show(identifier, g.request_id, export=True), api.feedback(identifier, g.request_id)
        origin = _origin(api, identifier)
    reviews = beside.Reviews(found["feedback"], found["damaged"])
    counting = reviews.counting
    review = csv_table.review_cells(
        None if counting is None else counting["label"],
        reviews.contradicts(document),
        _REVIEW_DAMAGED if reviews.damaged else None,
        None if counting is None else counting["who"],
    )
    row = csv_table.line(csv_table.cells(document["file"], document) + review + origin)
    return _file(iter((_HEAD, row)), f"pneumoctl-{identifier}.csv")


def _origin(api: ApiClient, identifier: str) -> list[object]:
    """The folder and the study of a result; an API of an earlier version has no such route."""
    try:
        source = api.source(identifier, g.request_id)
    except ApiError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return ["", None]
    return [source["folder"], source["study"]]


def _require_few(total: int) -> None:
    if total > MOST:
        detail = say(
            "The list has {total} results; a file has at most {most}. Narrow the list by its filters, or have all "
            "results written on the command line: pneumoctl results report FILE.csv",
            total=total,
            most=MOST,
        )
        raise ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, say("The list is too long for a file"), detail)


def _file(lines: Iterator[str], name: str) -> Response:
    response = Response(lines, mimetype="text/csv")  # which Flask sends as UTF-8
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _lines(
    api: ApiClient, query: ListQuery, page: ResultPage, request_id: str, credentials: Mapping[str, str]
) -> Iterator[str]:
    """The lines of a list from its first page on; raises Incomplete, after a line that says so.

    They are read after the view has returned: `credentials` tell the API for whom.
    """
    deadline = time.monotonic() + _SECONDS
    yield _HEAD
    try:
        while True:
            yield "".join(_page_lines(page))
            if page.next is None:
                return
            if time.monotonic() > deadline:
                raise ApiError(504, say("The download took too long"), say("The other results are missing."))
            with session.holding(credentials):
                page = api.page(query.fields, page.next, _ROWS, request_id, export=True)
    except ApiError as error:
        reason = f"THIS FILE IS INCOMPLETE. {error.title}. {error.detail}"
        yield csv_table.line(csv_table.cells(None, None, reason) + csv_table.review_cells(None, False) + [None, None])
        raise Incomplete from error


def _page_lines(page: ResultPage) -> Iterator[str]:
    for document, entry in zip(page.predictions, page.entries, strict=True):
        origin = ["", None] if entry is None else [entry["folder"], entry["study"]]
        yield csv_table.line(csv_table.cells(document["file"], document) + _review(entry) + origin)
    for each in page.damaged:
        yield csv_table.line(
            csv_table.damaged_cells(each.name, each.detail) + csv_table.review_cells(None, False) + [None, None]
        )


def _review(entry: Entry | None) -> list[object]:
    if entry is None:
        return csv_table.review_cells(None, False, "the API does not tell")
    fault = _REVIEW_DAMAGED if entry["review_damaged"] else None
    return csv_table.review_cells(entry["review"], entry["disagrees"], fault, entry.get("reviewer"))
