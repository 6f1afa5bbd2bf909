"""The API's calls for the page: every response is checked, and every failure is an ApiError."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from http import HTTPStatus
from typing import BinaryIO, TypeVar

from model.serving.prediction import Prediction
from webapp.documents import FeedbackList, Pictures, Place, ReceivedFilms, Source
from webapp.requests import EXPORT_HEADER, POSITION_HEADER, PROBE_HEADER
from webapp.ui import png, responses
from webapp.ui.languages.said import say
from webapp.ui.multipart import Multipart
from webapp.ui.responses import ResultPage, UploadResult
from webapp.ui.transport import Answer, ApiError, Transport

Document = TypeVar("Document")
_LATER = say("This page must be updated: the assessment service is of a later version")
_FILM_MAGIC = b"PN16"


class ApiClient:
    """The API. Safe to share between threads."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def together(self) -> AbstractContextManager[None]:
        """Within this block all calls but `predict` share the time of one: a page waits no longer than a read."""
        return self._transport.together()

    def predict(self, files: Sequence[tuple[str, BinaryIO]], request_id: str, probe: bool = False) -> UploadResult:
        """Have files scored and stored; the results of a `probe` expire soon and are not listed."""
        body = Multipart(files)
        headers = {"Content-Type": body.content_type, "Content-Length": str(body.length)}
        headers |= {PROBE_HEADER: "1"} if probe else {}
        answer = self._transport.upload("/v1/predictions", request_id, headers=headers, body=body)
        return _read(answer, lambda document: responses.upload_result(document, len(files)))

    def page(
        self, chosen: Mapping[str, str], cursor: str | None, limit: int, request_id: str, export: bool = False
    ) -> ResultPage:
        """A page of the list with these parameters. `export`: to be written to a file, which the trail records."""
        fields = {**chosen, "limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        headers = {EXPORT_HEADER: "1"} if export else {}
        answer = self._transport.request("GET", "/v1/predictions", request_id, fields=fields, headers=headers)
        page = _read(answer, lambda document: responses.result_page(document, chosen))
        return replace(page, position=answer.headers.get(POSITION_HEADER, ""))

    def position(self, request_id: str) -> str:
        """The last change of the store: another text after a prediction was added, reviewed or erased."""
        return _read(self._transport.request("GET", "/v1/changes", request_id), responses.position)

    def place(self, identifier: str, chosen: Mapping[str, str], request_id: str) -> Place:
        """Where a prediction stands in the list with these parameters."""
        path = f"/v1/predictions/{identifier}/place"
        return _read(self._transport.request("GET", path, request_id, fields=dict(chosen)), responses.place)

    def find(self, sent: Mapping[str, str], request_id: str) -> Prediction:
        """The stored prediction for the `sha256` and the name (`file`) of a file that was sent."""
        headers = {"Content-Type": "application/json"}
        path = "/v1/predictions/find"
        answer = self._transport.request("POST", path, request_id, headers=headers, body=json.dumps(sent))
        return _read(answer, responses.any_prediction)

    def show(self, identifier: str, request_id: str, export: bool = False) -> Prediction:
        """A stored prediction. `export`: to be written to a file, which the trail records."""
        headers = {EXPORT_HEADER: "1"} if export else {}
        answer = self._transport.request("GET", f"/v1/predictions/{identifier}", request_id, headers=headers)
        return _read(answer, lambda document: responses.prediction(document, identifier))

    def png(self, identifier: str, name: str, request_id: str) -> bytes:
        """The picture "image.png", "thumbnail.png" or "heatmap.png" of a prediction, whole or an ApiError."""
        path = f"/v1/predictions/{identifier}/{name}"
        small = name == "thumbnail.png"
        answer = (
            self._transport.thumbnail(path, request_id) if small else self._transport.request("GET", path, request_id)
        )
        content = answer.data
        if not png.is_whole(content):
            raise _invalid_response(say("The picture is cut off or damaged."))
        return content

    def film(self, identifier: str, request_id: str) -> bytes:
        """The 16-bit film of a prediction, "view.bin", which the browser reads and checks."""
        content = self._transport.request("GET", f"/v1/predictions/{identifier}/view.bin", request_id).data
        if not content.startswith(_FILM_MAGIC):
            raise _invalid_response(say("It is no film."))
        return content

    def pictures(self, identifier: str, request_id: str) -> Pictures:
        """Whether a prediction has a picture and can have a heat map, and if not, why."""
        answer = self._transport.request("GET", f"/v1/predictions/{identifier}/pictures", request_id)
        return _read(answer, responses.pictures)

    def source(self, identifier: str, request_id: str) -> Source:
        """Where the file of a prediction came from."""
        answer = self._transport.request("GET", f"/v1/predictions/{identifier}/source", request_id)
        return _read(answer, responses.source)

    def erase(self, identifier: str, request_id: str) -> None:
        """Erase a prediction with its picture, heat map and feedback."""
        self._transport.request("DELETE", f"/v1/predictions/{identifier}", request_id)

    def feedback(self, identifier: str, request_id: str) -> FeedbackList:
        """The feedback on a prediction, and how many entries are damaged."""
        answer = self._transport.request("GET", f"/v1/predictions/{identifier}/feedback", request_id)
        return _read(answer, lambda document: responses.feedback(document, identifier))

    def add_feedback(self, identifier: str, label: str, comment: str, request_id: str) -> str:
        """Add feedback to a prediction; returns its id, empty if an API of an earlier version gives none."""
        headers = {"Content-Type": "application/json"}
        body = json.dumps({"label": label, "comment": comment})
        path = f"/v1/predictions/{identifier}/feedback"
        answer = self._transport.request("POST", path, request_id, headers=headers, body=body, may_repeat=False)
        try:
            return responses.review(json.loads(answer.data), identifier)["id"]
        except (ValueError, RecursionError):  # it is saved all the same, as the status says
            return ""

    def withdraw_feedback(self, identifier: str, review: str, request_id: str) -> None:
        """Withdraw a review of a prediction."""
        self._transport.request("POST", f"/v1/predictions/{identifier}/feedback/{review}/withdrawal", request_id)

    def received(self, request_id: str) -> ReceivedFilms:
        """What became of films that arrived by DICOM."""
        return _read(self._transport.request("GET", "/v1/received", request_id), responses.received)

    def retry_received(self, identifier: str, request_id: str) -> None:
        """Have a received film that failed scored once more."""
        self._transport.request("POST", f"/v1/received/{identifier}/retry", request_id)

    def discard_received(self, identifier: str, request_id: str) -> None:
        """Erase a received film that failed."""
        self._transport.request("DELETE", f"/v1/received/{identifier}", request_id)

    def ready(self, request_id: str) -> None:
        """Raises ApiError unless the API is ready."""
        self._transport.probe("/readyz", request_id)

    def notice(self, request_id: str) -> str | None:
        """What people should know before they upload: a store that is full or nearly so, a wrong clock."""
        try:
            answer = self._transport.request("GET", "/readyz", request_id, accepted=(HTTPStatus.SERVICE_UNAVAILABLE,))
            return _read(answer, responses.notice)
        except ApiError:  # the upload will tell
            return None


def _read(answer: Answer, parse: Callable[[object], Document]) -> Document:
    """The parsed JSON body; raises ApiError if it is not what the API promises."""
    try:
        return parse(json.loads(answer.data))
    except responses.LaterVersion as error:
        raise ApiError(502, _LATER, say("Nothing of it is shown. To update the page, run: pneumoctl up")) from error
    except (ValueError, RecursionError) as error:  # Invalid is a ValueError
        raise _invalid_response(say("It may be of another version. To update both, run: pneumoctl up")) from error


def _invalid_response(hint: str) -> ApiError:
    return ApiError(
        502, say("The assessment service gave an invalid answer"), say("The answer is not shown. {hint}", hint=hint)
    )
