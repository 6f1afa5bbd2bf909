"""Check the API's answers: each must match its published type and fit the request, or it is an error.

Predictions by an API of an earlier version are read, too: page and API are not updated at the same moment.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from model.schema import Invalid, checked
from model.serving.prediction import Prediction, checked_prediction, current
from webapp.documents import (
    Check,
    Created,
    Entry,
    Feedback,
    FeedbackList,
    Page,
    PartlyCreated,
    Pictures,
    Place,
    Position,
    Problem,
    ReceivedFilms,
    Source,
    StoredReview,
)
from webapp.ui.languages.said import coded, say

NOTHING: Mapping[str, str] = {}
_KNOWN_EARLIER = {"order", "finding"}  # parameters of the list of an earlier version
_NOT_TOLD: dict[str, object] = {"entries": [], "first": None, "models": []}  # by it
_NO_ORIGIN: dict[str, object] = {"folder": "", "study": None}
_NO_SOURCE: dict[str, object] = {**_NO_ORIGIN, "same": None}
_UNFORESEEN = "the store cannot be used"


class LaterVersion(Invalid):
    """What the API says has a part that this page does not know: it might change the meaning of the rest."""


@dataclass(frozen=True)
class Failure:
    """A file, or a record, without a result: its name (or id) and the reason."""

    name: str
    detail: str


@dataclass(frozen=True)
class UploadResult:
    """The complete answer to an upload: stored predictions with their sources, and files that failed."""

    predictions: list[Prediction]
    failures: list[Failure]
    sources: list[Source]


@dataclass(frozen=True)
class ResultPage:
    """A page of the list. An entry is None if the API does not tell what else is known of the prediction.

    position: the last change of the store before the page was read; empty if the API does not tell.
    """

    predictions: list[Prediction]
    entries: list[Entry | None]
    damaged: list[Failure]
    next: str | None
    total: int
    first: int | None
    models: list[str]
    position: str = ""


def prediction(value: object, identifier: str) -> Prediction:
    """The prediction with that id; raises Invalid."""
    document = checked_prediction(current(value))
    if document["id"] != identifier:
        raise Invalid("document.id is not the one that was requested")
    return document


def any_prediction(value: object) -> Prediction:
    """A prediction whose id was not asked for; raises Invalid."""
    return checked_prediction(current(value))


def upload_result(value: object, sent: int) -> UploadResult:
    """The answer to an upload: all `sent` files are accounted for and scored by one model; raises Invalid."""
    partly = isinstance(value, dict) and "errors" in value
    answer: Any = checked(_with_sources(_current_answer(value)), PartlyCreated if partly else Created)
    predictions = _predictions(answer["predictions"])
    failures = [_failure(each["file"], each["error"]) for each in answer["errors"]] if partly else []
    if len(predictions) + len(failures) != sent:
        raise Invalid("the number of results is not the number of files")
    if len({(each["model"]["name"], each["model"]["version"]) for each in predictions}) > 1:
        raise Invalid("the predictions are by several models")
    if len(answer["sources"]) != len(predictions):
        raise Invalid("the sources are not those of the predictions")
    return UploadResult(predictions, failures, answer["sources"])


def result_page(value: object, chosen: Mapping[str, str] = NOTHING) -> ResultPage:
    """A page of the list with the `chosen` parameters; raises Invalid."""
    answer = _current_answer(value)
    earlier = isinstance(answer, dict) and "entries" not in answer
    if earlier and not _KNOWN_EARLIER.issuperset(chosen):
        raise Invalid("the list was not filtered")  # by an API that ignores what it does not know
    page: Page = checked({**answer, **_NOT_TOLD} if earlier else _with_origins(answer), Page)
    predictions = _predictions(page["predictions"])
    entries = [None] * len(predictions) if earlier else page["entries"]
    if len(entries) != len(predictions):
        raise Invalid("the entries are not those of the predictions")
    damaged = [_failure(each["id"], each["error"]) for each in page["damaged"]]
    return ResultPage(predictions, entries, damaged, page["next"], page["total"], page["first"], page["models"])


def source(value: object) -> Source:
    """Where the file of a prediction came from; raises Invalid."""
    answer: Source = checked(value, Source)
    return answer


def position(value: object) -> str:
    """The last change of the store; raises Invalid."""
    answer: Position = checked(value, Position)
    return answer["position"]


def place(value: object) -> Place:
    """The place of a prediction in a list; raises Invalid."""
    return checked(value, Place)


def feedback(value: object, identifier: str) -> FeedbackList:
    """The feedback on the prediction with that id, and how many entries are damaged; raises Invalid."""
    if not isinstance(value, dict) or not isinstance(value.get("feedback"), list):
        raise Invalid("document is not a list of feedback")
    if not FeedbackList.__annotations__.keys() >= value.keys():
        raise LaterVersion("the list of feedback has fields that this page does not know")
    reviews = [review(each, identifier) for each in value["feedback"]]
    rest: FeedbackList = checked({**value, "feedback": []}, FeedbackList)
    return {**rest, "feedback": reviews}


def review(value: object, identifier: str) -> Feedback:
    """A review of the prediction with that id; raises Invalid, or LaterVersion if it says more than this page knows.

    From an earlier version its id is empty, or nobody knows who made it.
    """
    if isinstance(value, dict):
        if not Feedback.__annotations__.keys() >= value.keys():
            raise LaterVersion("the feedback has fields that this page does not know")
        value = {"who": None, **value}
    earlier = isinstance(value, dict) and "id" not in value
    answer: Feedback = checked(value, StoredReview if earlier else Feedback)
    if answer["prediction"] != identifier:
        raise Invalid("the feedback is on another prediction")
    return {**answer, "id": "", "withdrawn": None} if earlier else answer


def pictures(value: object) -> Pictures:
    """Whether a prediction has a picture and can have a heat map; raises Invalid."""
    answer: Pictures = checked(value, Pictures)
    return answer


def received(value: object) -> ReceivedFilms:
    """What became of received films; raises Invalid."""
    answer: ReceivedFilms = checked(value, ReceivedFilms)
    return answer


def notice(value: object) -> str | None:
    """What the API's readiness says: why nothing can be stored, or its warnings; raises Invalid.

    What an API of a later version says beside is left out.
    """
    checks = value.get("checks") if isinstance(value, dict) else None
    if not isinstance(checks, dict):
        raise Invalid("the readiness has no checks")
    store, *others = (_check(checks[name]) if name in checks else None for name in ("store", "clock", "received"))
    if store is None:
        raise Invalid("the readiness has no check of the store")
    if not store["ok"]:
        fault = str(store["fault"])  # one that nobody foresaw may say more of the host than is meant for this page
        reason = coded("check", "store-fault", _UNFORESEEN if fault.startswith("unexpected error") else fault)
        return say("Uploads cannot be stored: {reason}", reason=reason)
    checks_of = zip(("store", "clock", "received"), (store, *others), strict=True)
    warnings = [
        coded("check", name, str(check["warning"])) for name, check in checks_of if check and check.get("warning")
    ]
    return (
        reduce(lambda before, words: say("{before}; and {words}", before=before, words=words), warnings)
        if warnings
        else None
    )


def _check(value: object) -> Check:
    known = value
    if isinstance(value, dict):
        known = {name: field for name, field in value.items() if name in Check.__annotations__}
    answer: Check = checked(known, Check)
    return answer


def _current_answer(value: object) -> object:
    """An answer that lists predictions, each as this version describes it."""
    if not isinstance(value, dict) or not isinstance(value.get("predictions"), list):
        return value
    return value | {"predictions": [current(each) for each in value["predictions"]]}


def _with_sources(answer: object) -> object:
    """An answer to an upload; one of an earlier version tells no sources."""
    if not isinstance(answer, dict) or "sources" in answer or not isinstance(answer.get("predictions"), list):
        return answer
    return answer | {"sources": [_NO_SOURCE] * len(answer["predictions"])}


def _with_origins(answer: object) -> object:
    """A page of the list; the entries of an earlier version tell neither folder nor study."""
    if not isinstance(answer, dict) or not isinstance(answer.get("entries"), list):
        return answer
    return answer | {"entries": [_NO_ORIGIN | each if isinstance(each, dict) else each for each in answer["entries"]]}


def _predictions(values: Iterable[object]) -> list[Prediction]:
    return [checked_prediction(value) for value in values]


def _failure(name: str, error: Problem) -> Failure:
    return Failure(name, coded("problem", error["code"], error["detail"]))
