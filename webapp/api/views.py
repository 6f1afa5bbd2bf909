"""The versioned routes: predictions, their pictures, feedback, and the OpenAPI document."""

from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus

from flask import Blueprint, Response, jsonify, request, url_for

from model.schema import Invalid, checked
from webapp.api import intake, list_parameters, openapi, pictures, recording
from webapp.api.list_parameters import ListChoice
from webapp.api.preview import decode, thumbnail, to_png
from webapp.api.problems import Problem, problem
from webapp.api.services import services
from webapp.api.storage import listing
from webapp.api.storage.errors import Damaged, FeedbackFull, Missing
from webapp.api.storage.records import Record, Review
from webapp.documents import LABELS, MAX_COMMENT, DamagedRecord, Entry, NewFeedback, Page, SentFile, StoredReview
from webapp.requests import EXPORT_HEADER, POSITION_HEADER, PROBE_HEADER, json_body

api = Blueprint("v1", __name__, url_prefix="/v1")
_OPENAPI = openapi.document()
_FEEDBACK_FORM = (
    f'Send a JSON object with "label" ({", ".join(LABELS)}) and, optionally, '
    f'"comment" (at most {MAX_COMMENT} characters).'
)
_PATH = "/predictions/<identifier:identifier>"


@api.get("/openapi.json", endpoint="openapi")
def describe() -> Response:
    """The OpenAPI 3.1 description."""
    return jsonify(_OPENAPI)


@api.post("/predictions")
def create() -> tuple[Response, int] | Response:
    """Score and store the files of the multipart field "file".

    201 if every file has a finding or a refusal, 207 if some failed, the status of the failure if all failed.
    """
    with services().uploads.slot():
        files = intake.selected(request.files.getlist("file"))
        outcome = intake.process(services(), files, listed=PROBE_HEADER not in request.headers)
    if outcome.worst is None:
        return jsonify(predictions=outcome.predictions, sources=outcome.sources), HTTPStatus.CREATED
    if not outcome.predictions:
        return outcome.worst.response()
    answer = {"predictions": outcome.predictions, "sources": outcome.sources, "errors": outcome.errors}
    return jsonify(answer), HTTPStatus.MULTI_STATUS


@api.get("/predictions")
def index() -> Response:
    """A page of the list; damaged records are listed separately and never shown as predictions."""
    chosen, limit = ListChoice.read(list_parameters.PAGING), list_parameters.limit()
    position = services().store.lists.position()  # before the list is read: what changes meanwhile is asked for again
    try:
        page = services().store.lists.page(
            chosen.order, chosen.finding, request.args.get("cursor"), limit, chosen.filters
        )
    except listing.CursorInvalid as error:
        raise Problem(
            400, "bad-cursor", "The cursor does not belong to this list. Start again without a cursor."
        ) from error
    if EXPORT_HEADER in request.headers and "cursor" not in request.args:
        recording.read("export", None, f"a list of {page.total}")
    damaged: list[DamagedRecord] = [{"id": each, "error": problem(Damaged(each)).document()} for each in page.damaged]
    document: Page = {
        "predictions": [record.prediction for record in page.records],
        "entries": [_entry(*each) for each in zip(page.records, page.reviews, strict=True)],
        "damaged": damaged,
        "next": page.next,
        "total": page.total,
        "first": page.first,
        "models": page.models,
    }
    response = jsonify(document)
    response.headers[POSITION_HEADER] = position
    return response


def _entry(record: Record, review: Review) -> Entry:
    entry: Entry = {
        "picture": record.image is not None,
        "review": review.label,
        "review_damaged": review.damaged,
        "disagrees": review.disagrees(record.prediction),
        "folder": "" if record.source is None else record.source["folder"],
        "study": None if record.source is None else record.source["study"],
    }
    # A page of an earlier version, which does not send the header, would refuse a list with a field more.
    return {**entry, "reviewer": review.who} if EXPORT_HEADER in request.headers else entry


@api.post("/predictions/find")
def find() -> Response:
    """The stored prediction for a SentFile document, by the current model: an upload whose answer was lost."""
    try:
        sent: SentFile = checked(json_body(), SentFile)
    except Invalid as error:
        raise Problem(400, "bad-file", 'Send a JSON object with "sha256" and "file".') from error
    identifier = services().scorer.identity(sent["sha256"], intake.clean_name(sent["file"]))
    prediction = services().store.get(identifier).prediction
    recording.read("view", identifier)
    return jsonify(prediction)


@api.get(_PATH)
def show(identifier: str) -> Response:
    """The stored prediction; a Link header (RFC 8288) points to its picture if one is stored."""
    record = services().store.get(identifier)
    recording.read("export" if EXPORT_HEADER in request.headers else "view", identifier)
    response = jsonify(record.prediction)
    if record.image is not None:
        response.headers["Link"] = f'<{url_for("v1.picture", identifier=identifier)}>; rel="preview"; type="image/png"'
    return response


@api.delete(_PATH)
def erase(identifier: str) -> tuple[str, int]:
    """Erase a result with its picture, heat map and reviews; also 204 if it was erased before."""
    outcome = services().store.eraser.erase(identifier, recording.act("erase", identifier))
    if outcome == "unknown":
        services().store.get(identifier)  # says why there is none
        raise Missing("There was no result with that id; one has been stored since, and is not erased.")
    if outcome == "erased":
        services().metrics.erased("request", 1)
    return "", HTTPStatus.NO_CONTENT


@api.get(_PATH + "/place")
def place(identifier: str) -> Response:
    """Where the prediction stands in a list, and its neighbours there."""
    chosen, record = ListChoice.read(), services().store.get(identifier)
    found = services().store.lists.place(record, chosen.order, chosen.finding, chosen.filters)
    return jsonify(asdict(found))


@api.get(_PATH + "/thumbnail.png")
def small_picture(identifier: str) -> Response:
    """The picture that was assessed, small enough for a row of a list."""
    store = services().store
    return Response(thumbnail(pictures.picture(store, store.get(identifier))), mimetype="image/png")


@api.get(_PATH + "/image.png")
def picture(identifier: str) -> Response:
    """The picture that was assessed, grey and at most 1024 pixels wide or high."""
    store = services().store
    content = pictures.picture(store, store.get(identifier))
    recording.read("view", identifier)
    return Response(to_png(decode(content)), mimetype="image/png")


@api.get(_PATH + "/heatmap.png")
def heatmap(identifier: str) -> Response:
    """Which parts of the picture the model used; computed on request, then cached for an hour."""
    record = services().store.get(identifier)
    png = services().store.heatmap(identifier)
    recording.read("view", identifier)
    return Response(png or _make_heatmap(record), mimetype="image/png")


def _make_heatmap(record: Record) -> bytes:
    current = services()
    if (impossible := pictures.no_heatmap(current.scorer, record.prediction)) is not None:
        raise impossible
    content = pictures.picture(current.store, record)
    with current.uploads.slot(), current.scoring.slot(current.settings.max_wait), current.metrics.stage("heatmap"):
        png = current.scorer.heatmap(content)
    current.store.cache_heatmap(record.id, png)
    return png


@api.get(_PATH + "/pictures")
def available(identifier: str) -> Response:
    """Whether the result has a picture and can have a heat map, and if not, why."""
    return jsonify(pictures.pictures(services().store, services().scorer, identifier))


@api.get(_PATH + "/feedback")
def feedback(identifier: str) -> Response:
    """The feedback on a prediction, and how many entries are damaged."""
    entries, damaged = services().store.reviews.of(identifier)
    return jsonify(feedback=entries, damaged=damaged)


@api.post(_PATH + "/feedback")
def add_feedback(identifier: str) -> tuple[Response, int]:
    """Store a person's feedback, a NewFeedback document; what is sent twice within two minutes is stored once."""
    try:
        sent: NewFeedback = checked(json_body(), NewFeedback)
    except Invalid as error:
        raise Problem(400, "bad-feedback", _FEEDBACK_FORM) from error
    document: StoredReview = {
        "prediction": identifier,
        "label": sent["label"],
        "comment": sent.get("comment", ""),
        "created": _now(),
        "who": recording.who(),
    }
    prediction = services().store.get(identifier).prediction
    try:
        stored = services().store.reviews.add(identifier, document, recording.act("review", identifier))
    except FeedbackFull as error:
        raise Problem(409, "feedback-full", str(error)) from error
    if stored["created"] == document["created"]:  # not that of a request which was sent twice
        services().metrics.reviewed(prediction, sent["label"])
    return jsonify(stored), HTTPStatus.CREATED


@api.post(_PATH + "/feedback/<identifier:review>/withdrawal")
def withdraw_feedback(identifier: str, review: str) -> Response:
    """Withdraw a review, which stays in the list with that time; also 200 if it was withdrawn before.

    Only whoever made it, or an admin, may do so.
    """
    act = recording.act("withdrawal", identifier)
    return jsonify(services().store.reviews.withdraw(identifier, review, _now(), recording.withdrawer(), act))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
