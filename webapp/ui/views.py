"""The pages: upload, results, list, one prediction, feedback."""

from dataclasses import dataclass

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

from webapp.gate import PROBE_HEADER, Bound
from webapp.metrics import CONTENT_TYPE
from webapp.ui import errors
from webapp.ui.client import ApiClient, ApiError
from webapp.ui.documents import IDENTIFIER, Failure, Listed, Scored
from webapp.ui.errors import again, wants_json
from webapp.ui.metrics import Metrics

pages = Blueprint("pages", __name__)
_MOST_SHOWN = 20  # results on one page; the API takes as many files at once
_LATEST = 5
_ORDERS = {"time": "newest first", "probability": "highest P(pneumonia) first"}
_FINDINGS = {
    "all": "all",
    "pneumonia": "signs of pneumonia",
    "no pneumonia": "no sign of pneumonia",
    "refused": "not assessed",
}
_PATH = "/predictions/<identifier:identifier>"


@dataclass(frozen=True)
class Backend:
    """What the views work with: the API, the bound on uploads at the same time, and what is counted."""

    api: ApiClient
    uploads: Bound
    metrics: Metrics


def backend() -> Backend:
    """That of the app that answers now."""
    return current_app.extensions["pneumo"]


@pages.get("/")
def home() -> Response:
    """The upload form and the latest results."""
    try:
        latest = backend().api.page("time", "all", None, _LATEST, g.request_id)
    except ApiError as error:  # the form stays usable while the list cannot be had
        return errors.answered(error, "home.html", latest=None, error=error, again=again())
    return _page("home.html", latest=latest, error=None, again=None)


@pages.post("/predictions")
def create() -> Response:
    """Have files assessed; the browser is sent on to their results, so that reloading sends nothing again."""
    with backend().uploads.held():
        files = [file for file in request.files.getlist("file") if file.filename]
        if not files:
            raise ApiError(400, "No file was chosen", "Choose one or more pictures first.")
        sent = [(str(file.filename), file.stream) for file in files]
        scored = backend().api.predict(sent, g.request_id, probe=PROBE_HEADER in request.headers)
    if scored.failures:
        return _partly(scored)
    if wants_json():
        return _json({"predictions": scored.predictions}, 201)
    return redirect(url_for("pages.results", id=[each["id"] for each in scored.predictions]), 303)


def _partly(scored: Scored) -> Response:
    """Some files failed: shown at once and not after a redirect, which would lose what failed."""
    if wants_json():
        failed = [{"file": each.name, "error": {"detail": each.detail}} for each in scored.failures]
        return _json({"predictions": scored.predictions, "errors": failed}, 207)
    shown = [(each, False) for each in scored.predictions]
    return _page("results.html", 207, shown=shown, failures=scored.failures, again=None)


@pages.get("/results")
def results() -> Response:
    """The results of one upload, each read back from the store."""
    identifiers = list(dict.fromkeys(request.args.getlist("id")))
    if not 1 <= len(identifiers) <= _MOST_SHOWN or not all(map(IDENTIFIER.fullmatch, identifiers)):
        raise BadRequest("These are not the ids of results.")
    shown, failures, status = [], [], 200
    for identifier in identifiers:
        try:
            shown.append(backend().api.show(identifier, g.request_id))
        except ApiError as error:
            if error.status in (429, 503, 504):  # the others would fail likewise, and slowly
                raise
            failures.append(Failure(identifier, f"{error.title}: {error.detail}"))
            status = error.status
    return _page("results.html", status, shown=shown, failures=failures, again=again() if failures else None)


@pages.get("/predictions")
def index() -> Response:
    """A page of all results."""
    order, finding = _chosen("order", _ORDERS), _chosen("finding", _FINDINGS)
    cursor = request.args.get("cursor")
    page = backend().api.page(order, finding, cursor, _MOST_SHOWN, g.request_id)
    if wants_json():
        return _json(_listed(page), 200)
    choices = {"order": order, "orders": _ORDERS, "finding": finding, "findings": _FINDINGS}
    return _page("list.html", page=page, cursor=cursor, again=again(), **choices)


def _listed(page: Listed) -> dict[str, object]:
    damaged = [{"id": each.name, "error": {"detail": each.detail}} for each in page.damaged]
    return {"predictions": page.predictions, "damaged": damaged, "next": page.next, "total": page.total}


@pages.get(_PATH)
def show(identifier: str) -> Response:
    """One stored prediction."""
    document, has_picture = backend().api.show(identifier, g.request_id)
    if wants_json():
        return _json(document, 200)
    said = backend().api.feedback(identifier, g.request_id)
    heatmap = request.args.get("heatmap") == "1" and document["finding"] is not None
    return _page("detail.html", document=document, has_picture=has_picture, said=said, heatmap=heatmap)


@pages.get(_PATH + "/image.png", defaults={"name": "image.png"}, endpoint="image")
@pages.get(_PATH + "/heatmap.png", defaults={"name": "heatmap.png"}, endpoint="heatmap")
def picture(identifier: str, name: str) -> Response:
    """The picture of a prediction, or where it speaks for pneumonia."""
    return Response(backend().api.png(identifier, name, g.request_id), mimetype="image/png")


@pages.post(_PATH + "/feedback")
def feedback(identifier: str) -> Response:
    """Keep what a person says of a prediction."""
    label, comment = request.form.get("label", ""), request.form.get("comment", "").strip()
    backend().api.add_feedback(identifier, label, comment, g.request_id)
    return redirect(url_for("pages.show", identifier=identifier, _anchor="feedback"), 303)


@pages.get("/livez")
def livez() -> Response:
    """Whether the page lives."""
    return _json({"status": "alive"}, 200)


@pages.get("/readyz")
def readyz() -> Response:
    """Whether the page and the API behind it can do their work."""
    try:
        backend().api.ready(g.request_id)
    except ApiError as error:
        return _json({"status": "not ready", "detail": f"{error.title}: {error.detail}"}, 503)
    return _json({"status": "ready"}, 200)


@pages.get("/metrics")
def metrics() -> Response:
    """For Prometheus."""
    return Response(backend().metrics.requests.text(), content_type=CONTENT_TYPE)


def _page(template: str, status: int = 200, **context: object) -> Response:
    made = make_response(render_template(template, **context), status)
    made.headers["Vary"] = "Accept"
    return made


def _json(document: dict, status: int) -> Response:
    made = jsonify(document)
    made.status_code = status
    made.headers["Vary"] = "Accept"
    return made


def _chosen(name: str, choices: dict[str, str]) -> str:
    value = request.args.get(name, next(iter(choices)))
    if value not in choices:
        raise BadRequest(f"{name} is one of: {', '.join(choices)}.")
    return value
