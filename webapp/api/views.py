"""The versioned routes: predictions, their pictures, feedback, and the document that describes them."""

import hmac
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from flask import Blueprint, Response, jsonify, request, url_for

from webapp.api import intake, listing
from webapp.api.preview import decode, to_png
from webapp.api.problems import Problem, problem
from webapp.api.services import services
from webapp.api.store import Damaged, Full, Record
from webapp.gate import PROBE_HEADER

api = Blueprint("v1", __name__, url_prefix="/v1")
OPENAPI = Path(__file__).with_name("openapi.json")
_LABELS = ("pneumonia", "no pneumonia", "unsure")
_LONGEST_COMMENT = 500  # characters
_LIMITS = ("20", *map(str, range(1, 101)))  # the first is the default
_PATH = "/predictions/<identifier:identifier>"


@api.before_request
def let_in() -> None:
    """Only with the token; the description of the API is for everybody."""
    if request.endpoint == "v1.openapi":
        return
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    settings = services().settings
    known = [one for one in (settings.token, settings.token_previous) if one]
    fits = [hmac.compare_digest(token.encode(), one.encode()) for one in known]  # all are asked, whichever it is
    if not any(fits) or kind.lower() != "bearer":
        raise Problem(401, "unauthorized", "A bearer token is needed.")


@api.get("/openapi.json")
def openapi() -> Response:
    """The OpenAPI 3.1 description."""
    return Response(OPENAPI.read_bytes(), mimetype="application/json")


@api.post("/predictions")
def create() -> tuple[Response, int] | Response:
    """Score and keep the files of the multipart field "file".

    201 when each has a finding or a refusal, 207 when some failed on this side, the failure's own status when all did.
    """
    with services().pending.held():
        files = intake.chosen(request.files.getlist("file"))
        outcome = intake.take(services(), files, listed=PROBE_HEADER not in request.headers)
    if outcome.worst is None:
        return jsonify(predictions=outcome.predictions), HTTPStatus.CREATED
    if not outcome.predictions:
        return outcome.worst.response()
    return jsonify(predictions=outcome.predictions, errors=outcome.errors), HTTPStatus.MULTI_STATUS


@api.get("/predictions")
def index() -> Response:
    """A page of the list; damaged records are named apart and never shown as predictions."""
    order = _one_of("order", listing.ORDERS)
    chosen = _one_of("finding", listing.FILTERS)
    limit = int(_one_of("limit", _LIMITS))
    try:
        page = services().store.page(order, chosen, request.args.get("cursor"), limit)
    except listing.CursorInvalid as error:
        raise Problem(400, "bad-cursor", "The cursor does not belong to this list. Start again without it.") from error
    damaged = [{"id": each, "error": problem(Damaged(each)).as_dict()} for each in page.damaged]
    predictions = [record.prediction for record in page.records]
    return jsonify(predictions=predictions, damaged=damaged, next=page.next, total=page.total)


@api.get(_PATH)
def show(identifier: str) -> Response:
    """The stored prediction; a Link header (RFC 8288) names its picture when one is kept."""
    record = services().store.get(identifier)
    answer = jsonify(record.prediction)
    if record.image is not None:
        answer.headers["Link"] = f'<{url_for("v1.picture", identifier=identifier)}>; rel="preview"; type="image/png"'
    return answer


@api.get(_PATH + "/image.png")
def picture(identifier: str) -> Response:
    """The picture that was assessed, grey and at most 1024 pixels a side."""
    return Response(to_png(decode(services().store.picture(identifier))), mimetype="image/png")


@api.get(_PATH + "/heatmap.png")
def heatmap(identifier: str) -> Response:
    """Which parts made the model say so; computed when first asked for, then kept for an hour."""
    record = services().store.get(identifier)
    png = services().store.heatmap(identifier)
    return Response(png or _drawn(record), mimetype="image/png")


def _drawn(record: Record) -> bytes:
    made = services()
    if record.prediction["finding"] is None:
        raise Problem(404, "no-heatmap", "The picture was not assessed, so there is nothing to explain.")
    if record.prediction["model"]["version"] != made.scorer.version:
        raise Problem(409, "model-changed", "Another model made this prediction; this one cannot explain it.")
    with made.pending.held(), made.turns.held(made.settings.patience), made.metrics.stage("heatmap"):
        png = made.scorer.heatmap(made.store.picture(record.id))
    made.store.keep_heatmap(record.id, png)
    return png


@api.get(_PATH + "/feedback")
def feedback(identifier: str) -> Response:
    """What people said of a prediction, and how many entries are damaged."""
    services().store.get(identifier)
    entries, damaged = services().store.feedback(identifier)
    return jsonify(feedback=entries, damaged=damaged)


@api.post(_PATH + "/feedback")
def add_feedback(identifier: str) -> tuple[Response, int]:
    """Keep what a person says: {"label": "pneumonia" | "no pneumonia" | "unsure", "comment": text}."""
    said = request.get_json(silent=True)
    if not isinstance(said, dict) or said.get("label") not in _LABELS or set(said) - {"label", "comment"}:
        raise Problem(400, "bad-feedback", f"A JSON object with a label of {', '.join(_LABELS)} is needed.")
    comment = said.get("comment", "")
    if not isinstance(comment, str) or len(comment) > _LONGEST_COMMENT:
        raise Problem(400, "bad-feedback", f"The comment is a text of at most {_LONGEST_COMMENT} characters.")
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    document = {"prediction": identifier, "label": said["label"], "comment": comment, "created": now}
    try:
        services().store.add_feedback(identifier, document)
    except Full as error:
        raise Problem(409, "feedback-full", str(error)) from error
    return jsonify(document), HTTPStatus.CREATED


def _one_of(name: str, choices: tuple[str, ...]) -> str:
    value = request.args.get(name, choices[0])
    if value not in choices:
        allowed = "a number from 1 to 100" if choices is _LIMITS else f"one of: {', '.join(choices)}"
        raise Problem(400, f"bad-{name}", f"{name} is {allowed}.")
    return value
