"""What a page shows beside a result: pictures, reviews, place. What cannot be read does not keep the result back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import g

from model.serving.prediction import Prediction
from webapp.documents import Availability, Feedback, Pictures, Source
from webapp.ui.client import ApiClient
from webapp.ui.languages.said import say
from webapp.ui.responses import ResultPage
from webapp.ui.transport import ApiError

_OLDER_API = say("The API does not tell; it may be of another version.")
MOST_FILMS = 20  # of a study, beside a result
_NOT_READ = "not-read"  # the code of what could not be read


@dataclass(frozen=True)
class Reviews:
    """The reviews of a result and how many more are damaged, or why they cannot be shown."""

    entries: Sequence[Feedback] = ()
    damaged: int = 0
    fault: str = ""

    @property
    def counting(self) -> Feedback | None:
        """The review that counts in the list: the newest one that is not withdrawn; None if nobody knows it."""
        return None if self.damaged else next((each for each in reversed(self.entries) if not each["withdrawn"]), None)

    def contradicts(self, document: Prediction, review: Feedback | None = None) -> bool:
        """Whether a review, or the one that counts, found something else than the model. Unsure is no contradiction."""
        found = review or self.counting
        if found is None or found["withdrawn"] or document["finding"] is None:
            return False
        return found["label"] not in ("unsure", document["finding"])

    def named(self, identifier: str) -> Feedback | None:
        """The review with that id."""
        return next((each for each in self.entries if identifier and each["id"] == identifier), None)


@dataclass(frozen=True)
class Origin:
    """Where the file of a result came from, and the films of its study, or why they cannot be shown."""

    source: Source | None = None
    films: ResultPage | None = None
    fault: str = ""
    study_fault: str = ""


def pictures(api: ApiClient, documents: Sequence[Prediction]) -> list[Pictures]:
    """For each result, whether its picture and its heat map can be shown, or why not.

    Each is asked for: what fails of one says nothing of the next. `together` bounds the time of all.
    """
    return [_pictures_of(api, document["id"]) for document in documents]


def _pictures_of(api: ApiClient, identifier: str) -> Pictures:
    try:
        return api.pictures(identifier, g.request_id)
    except ApiError as error:
        return _neither(_not_found(api, identifier) if error.status == 404 else _fault(error))


def _not_found(api: ApiClient, identifier: str) -> str:
    """Why the API does not tell of a result's pictures: the result is gone, or the API has no such route."""
    try:
        api.show(identifier, g.request_id)
    except ApiError as error:
        return _fault(error)
    return _OLDER_API


def reviews(api: ApiClient, identifier: str) -> Reviews:
    """The reviews of a result, or why they cannot be shown."""
    try:
        answer = api.feedback(identifier, g.request_id)
        return Reviews(answer["feedback"], answer["damaged"])
    except ApiError as error:
        return Reviews(fault=_fault(error))


def origins(api: ApiClient, documents: Sequence[Prediction], with_study: bool = False) -> list[Origin]:
    """For each result, where its file came from; `with_study`: and the films of its study."""
    return [_origin_of(api, document["id"], with_study) for document in documents]


def _origin_of(api: ApiClient, identifier: str, with_study: bool) -> Origin:
    try:
        source = api.source(identifier, g.request_id)
    except ApiError as error:  # an API of an earlier version has no such route
        return Origin() if error.status == 404 else Origin(fault=_fault(error))
    if not with_study or source["study"] is None:
        return Origin(source)
    try:
        return Origin(source, api.page({"study": source["study"]}, None, MOST_FILMS, g.request_id))
    except ApiError as error:
        return Origin(source, study_fault=_fault(error))


def place(api: ApiClient, identifier: str, chosen: Mapping[str, str]) -> dict[str, object]:
    """The `place` of a result in the list that the reader came from, or in `no_place` why it is not known."""
    try:
        return {"place": api.place(identifier, chosen, g.request_id), "no_place": None}
    except ApiError as error:
        return {"place": None, "no_place": error}


def _fault(error: ApiError) -> str:
    return say("{title}. {detail}", title=error.title, detail=error.detail)


def _neither(reason: str) -> Pictures:
    unread: Availability = {"available": False, "code": _NOT_READ, "reason": reason}
    return {"picture": unread, "heatmap": unread}
