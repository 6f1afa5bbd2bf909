"""The pages: upload, results, list, one prediction."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps

from flask import (
    Blueprint,
    Response,
    current_app,
    g,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.exceptions import BadRequest

from webapp.concurrency import ConcurrencyLimit
from webapp.metrics import CONTENT_TYPE
from webapp.requests import PROBE_HEADER, is_identifier
from webapp.ui import beside, errors, list_query
from webapp.ui.beside import Origin
from webapp.ui.client import ApiClient
from webapp.ui.errors import retry_url, wants_json
from webapp.ui.languages import choice
from webapp.ui.languages.said import say
from webapp.ui.list_query import EVERYTHING, ListQuery
from webapp.ui.metrics import Metrics
from webapp.ui.responses import Failure, ResultPage, UploadResult
from webapp.ui.transport import ApiError

pages = Blueprint("pages", __name__)
_PAGE_SIZE = 20  # results; the API accepts as many files in one request
_ROWS = 50  # results on a page of the list
_THUMBNAIL_SECONDS = 600
_LATEST = 5  # results on the start page
_PATH = "/predictions/<identifier:identifier>"


@dataclass(frozen=True)
class Backend:
    """The objects that the views use: the API, the limits on concurrent uploads and downloads, and the metrics."""

    api: ApiClient
    uploads: ConcurrencyLimit
    metrics: Metrics
    downloads: ConcurrencyLimit = field(default_factory=lambda: ConcurrencyLimit(2, retry_after=5))


def backend() -> Backend:
    """The backend of the current app."""
    return current_app.extensions["pneumo"]


def _in_the_time_of_one_read(view: Callable[..., Response]) -> Callable[..., Response]:
    """A view whose reads of the API together have the time of one, however many they are."""

    @wraps(view)
    def bounded(*arguments: str, **named: str) -> Response:
        with backend().api.together():
            return view(*arguments, **named)

    return bounded


@pages.get("/")
@_in_the_time_of_one_read
def home() -> Response:
    """The upload form and the latest results."""
    try:
        latest = backend().api.page(EVERYTHING.fields, None, _LATEST, g.request_id)
    except ApiError as error:  # the form stays usable while the list is not available
        if error.code == "session-ended":
            raise
        context = {"latest": None, "everything": EVERYTHING, "error": error, "again": retry_url(), "notice": None}
        return errors.error_response(error, "home.html", **context)
    notice = backend().api.notice(g.request_id)
    return _page("home.html", latest=latest, everything=EVERYTHING, error=None, again=None, notice=notice)


@pages.post("/predictions")
def create() -> Response:
    """Have files assessed, then redirect to the results, so that a reload does not send the files again."""
    with backend().uploads.slot():
        files = [file for file in request.files.getlist("file") if file.filename]
        if not files:
            raise ApiError(400, say("No file was selected"), say("Select one or more pictures first."))
        named_streams = [(str(file.filename), file.stream) for file in files]
        result = backend().api.predict(named_streams, g.request_id, probe=PROBE_HEADER in request.headers)
    if result.failures:
        return _partial_result(result)
    if wants_json():
        return _json({"predictions": result.predictions, "sources": result.sources}, 201)
    return redirect(url_for("pages.results", id=[each["id"] for each in result.predictions]), 303)


def _partial_result(result: UploadResult) -> Response:
    """The result if some files failed; shown without a redirect, which would lose the failures."""
    if wants_json():
        failed_files = [{"file": each.name, "error": choice.fault(each.detail)} for each in result.failures]
        return _json({"predictions": result.predictions, "sources": result.sources, "errors": failed_files}, 207)
    with backend().api.together():
        pictures = beside.pictures(backend().api, result.predictions)
    shown = list(zip(result.predictions, pictures, map(Origin, result.sources), strict=True))
    return _page("results.html", 207, shown=shown, failures=result.failures, again=None)


@pages.get("/results")
@_in_the_time_of_one_read
def results() -> Response:
    """The results of one upload, each read from the store."""
    identifiers = list(dict.fromkeys(request.args.getlist("id")))
    if not 1 <= len(identifiers) <= _PAGE_SIZE or not all(map(is_identifier, identifiers)):
        raise BadRequest(say("The address does not contain the ids of results."))
    found, failures, status = [], [], 200
    for identifier in identifiers:
        try:
            found.append(backend().api.show(identifier, g.request_id))
        except ApiError as error:
            if error.status in (429, 503, 504) and not found:  # the others would fail, too
                raise
            failures.append(Failure(identifier, say("{title}: {detail}", title=error.title, detail=error.detail)))
            status = error.status
    origins = beside.origins(backend().api, found)
    shown = list(zip(found, beside.pictures(backend().api, found), origins, strict=True))
    return _page("results.html", status, shown=shown, failures=failures, again=retry_url() if failures else None)


@pages.get("/predictions")
def index() -> Response:
    """A page of all results."""
    query, cursor = ListQuery.read(), request.args.get("cursor")
    try:
        page = backend().api.page(query.fields, cursor, _ROWS, g.request_id)
    except ApiError as error:
        return errors.list_response(error, query)
    if wants_json():
        return _json(_list_document(page), 200)
    return _page("list.html", page=page, query=query, cursor=cursor, again=retry_url(), choices=list_query)


def _list_document(page: ResultPage) -> dict[str, object]:
    damaged = [{"id": each.name, "error": {"detail": each.detail}} for each in page.damaged]
    return {"predictions": page.predictions, "damaged": damaged, "next": page.next, "total": page.total}


@pages.get(_PATH)
@_in_the_time_of_one_read
def show(identifier: str) -> Response:
    """One stored prediction."""
    query = ListQuery.read()
    document = backend().api.show(identifier, g.request_id)
    if wants_json():
        return _json(document, 200)
    (pictures,) = beside.pictures(backend().api, [document])
    reviews = beside.reviews(backend().api, identifier)
    heatmap = request.args.get("heatmap") == "1" and pictures["heatmap"]["available"]
    (origin,) = beside.origins(backend().api, [document], with_study=True)
    context = {"document": document, "pictures": pictures, "reviews": reviews, "heatmap": heatmap, "origin": origin}
    return _page("detail.html", **context, query=query, **beside.place(backend().api, identifier, query.fields))


@pages.get(_PATH + "/image.png", defaults={"name": "image.png"}, endpoint="image")
@pages.get(_PATH + "/heatmap.png", defaults={"name": "heatmap.png"}, endpoint="heatmap")
def picture(identifier: str, name: str) -> Response:
    """The picture of a prediction, or its heat map."""
    return Response(backend().api.png(identifier, name, g.request_id), mimetype="image/png")


@pages.get(_PATH + "/thumbnail.png")
def thumbnail(identifier: str) -> Response:
    """The picture of a prediction for a row of the list, which the browser keeps for a while: it never changes."""
    response = Response(backend().api.png(identifier, "thumbnail.png", g.request_id), mimetype="image/png")
    response.headers["Cache-Control"] = f"private, max-age={_THUMBNAIL_SECONDS}"
    return response


@pages.get(_PATH + "/erase")
def confirm_erasure(identifier: str) -> Response:
    """Ask before a result is erased; also one whose record is damaged."""
    query = ListQuery.read()
    name = fault = None
    try:
        name = backend().api.show(identifier, g.request_id)["file"]
    except ApiError as error:
        if error.code is None or error.status in (401, 403, 404, 503):
            raise
        fault = say("{title}: {detail}", title=error.title, detail=error.detail)
    return _page("erase.html", identifier=identifier, name=name, fault=fault, query=query)


@pages.post(_PATH + "/erase")
def erase(identifier: str) -> Response:
    """Erase a result, then redirect, so that a reload does not ask again."""
    query = ListQuery.read()  # before anything is erased
    backend().api.erase(identifier, g.request_id)
    return redirect(url_for("pages.erased", id=identifier, **query.fields), 303)


@pages.get("/erased")
def erased() -> Response:
    """Say that a result was erased, if it is not stored any more; otherwise show it."""
    query, identifier = ListQuery.read(), request.args.get("id", "")
    if not is_identifier(identifier):
        raise BadRequest(say("The address does not contain the id of a result."))
    try:
        backend().api.show(identifier, g.request_id)
    except ApiError as error:
        if error.status == 404:
            return _page("erased.html", identifier=identifier, query=query)
        raise
    return redirect(url_for("pages.show", identifier=identifier, **query.fields), 303)


@pages.get("/livez")
def livez() -> Response:
    """Whether the process is alive."""
    return _json({"status": "alive"}, 200)


@pages.get("/readyz")
def readyz() -> Response:
    """Whether the page and the API behind it are ready."""
    try:
        backend().api.ready(g.request_id)
    except ApiError as error:
        return _json({"status": "not ready", "detail": f"{error.title}: {error.detail}"}, 503)
    return _json({"status": "ready"}, 200)


@pages.get("/metrics")
def metrics() -> Response:
    """The metrics for Prometheus."""
    return Response(backend().metrics.requests.text(), content_type=CONTENT_TYPE)


def _page(template: str, status: int = 200, **context: object) -> Response:
    response = make_response(render_template(template, **context), status)
    response.headers["Vary"] = "Accept"
    return response


def _json(document: object, status: int) -> Response:
    response = jsonify(document)
    response.status_code = status
    response.headers["Vary"] = "Accept"
    return response
