"""Talk to the API: every answer is checked, every failure becomes one kind of error."""

import json
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, BinaryIO

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProtocolError
from urllib3.exceptions import TimeoutError as TookTooLong

from webapp.gate import PROBE_HEADER
from webapp.ui import documents
from webapp.ui.documents import AnswerInvalid, Listed, Scored
from webapp.ui.multipart import Multipart
from webapp.ui.turns import Turns

_PNG = b"\x89PNG\r\n\x1a\n"
_CONNECT = 2.0  # seconds; an API is near
_SILENT = "The assessment service does not answer"
_OUR_FAULT = {400, 404, 409, 413}  # the request asked for what cannot be
_PASSED_ON = {400, 404, 409, 413, 429, 503}  # what the API says of the request or of itself; all else is 502


class ApiError(Exception):
    """No answer, or none that may be shown: HTTP `status` for the browser, `title` and `detail` for people."""

    def __init__(self, status: int, title: str, detail: str, retry_after: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.retry_after = retry_after


class ApiClient:
    """The API behind one address or several. Safe to share between threads."""

    def __init__(
        self,
        urls: Sequence[str],
        token: str,
        timeout: float,
        failed: Callable[[str], None] = lambda kind: None,
        connections: int = 16,
    ) -> None:
        """`timeout` in seconds is for each wait on the API; `failed` is told the kind of each failure."""
        self._turns = Turns(urls)
        self._token = token
        self._failed = failed
        self._http = urllib3.PoolManager(
            maxsize=connections, retries=False, timeout=urllib3.Timeout(connect=_CONNECT, read=timeout)
        )

    def predict(self, files: Sequence[tuple[str, BinaryIO]], request_id: str, probe: bool = False) -> Scored:
        """Have files scored and kept; those of a `probe` only for a moment, and unlisted."""
        body = Multipart(files)
        headers = {"Content-Type": body.content_type, "Content-Length": str(body.length)}
        headers |= {PROBE_HEADER: "1"} if probe else {}
        answer = self._ask("POST", "/v1/predictions", request_id, headers=headers, body=body)
        return _checked(lambda: documents.scored(_parsed(answer), len(files)))

    def page(self, order: str, finding: str, cursor: str | None, limit: int, request_id: str) -> Listed:
        """A page of the list."""
        fields = {"order": order, "finding": finding, "limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        answer = self._ask("GET", "/v1/predictions", request_id, fields=fields)
        return _checked(lambda: documents.listed(_parsed(answer)))

    def show(self, identifier: str, request_id: str) -> tuple[dict, bool]:
        """A stored prediction, and whether a picture is kept with it."""
        answer = self._ask("GET", f"/v1/predictions/{identifier}", request_id)
        has_picture = 'rel="preview"' in answer.headers.get("Link", "")
        return _checked(lambda: documents.prediction(_parsed(answer), identifier)), has_picture

    def png(self, identifier: str, name: str, request_id: str) -> bytes:
        """The picture "image.png" or "heatmap.png" of a prediction."""
        content = self._ask("GET", f"/v1/predictions/{identifier}/{name}", request_id).data
        if not content.startswith(_PNG):
            raise _malformed()
        return content

    def feedback(self, identifier: str, request_id: str) -> list[dict]:
        """What people said of a prediction."""
        answer = self._ask("GET", f"/v1/predictions/{identifier}/feedback", request_id)
        return _checked(lambda: documents.feedback(_parsed(answer)))

    def add_feedback(self, identifier: str, label: str, comment: str, request_id: str) -> None:
        """Say something of a prediction."""
        headers = {"Content-Type": "application/json"}
        body = json.dumps({"label": label, "comment": comment})
        path = f"/v1/predictions/{identifier}/feedback"
        self._ask("POST", path, request_id, headers=headers, body=body, twice=False)

    def ready(self, request_id: str) -> None:
        """Raises ApiError unless the API says that it can do its work."""
        self._ask("GET", "/readyz", request_id)

    def _ask(
        self,
        method: str,
        path: str,
        request_id: str,
        headers: Mapping[str, str] | None = None,
        twice: bool = True,
        **more: Any,
    ) -> urllib3.BaseHTTPResponse:
        """Ask, by the next address where none is reached; once more if a connection breaks and `twice` does no harm."""
        head = {"Authorization": f"Bearer {self._token}", "X-Request-ID": request_id, "Accept": "application/json, */*"}
        waiting = self._turns.order()
        while True:
            url = waiting.pop(0)
            try:
                answer = self._http.request(
                    method, url + path, headers={**head, **(headers or {})}, redirect=False, **more
                )
                break
            except (NewConnectionError, ConnectTimeoutError) as error:  # nothing was sent
                self._silent(url, "unreachable")
                if not waiting:
                    raise ApiError(502, _SILENT, "It cannot be reached.") from error
            except TookTooLong as error:
                self._silent(url, "timeout")
                raise ApiError(504, "The assessment service took too long", "No answer came in time.") from error
            except ProtocolError as error:
                self._failed("broken")
                if not twice:
                    raise ApiError(502, _SILENT, "The connection broke before an answer came.") from error
                twice = False
                waiting.append(url)  # after the others: a kept connection may have been closed, or it restarts
            except HTTPError as error:
                self._failed("broken")
                raise ApiError(502, _SILENT, f"The connection failed ({type(error).__name__}).") from error
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            if answer.status not in _OUR_FAULT:
                self._failed("status")
            raise _refused(answer)
        return answer

    def _silent(self, url: str, kind: str) -> None:
        self._turns.silent(url)
        self._failed(kind)


def _parsed(answer: urllib3.BaseHTTPResponse) -> object:
    return json.loads(answer.data, parse_constant=_no_number)


def _no_number(name: str) -> None:
    raise AnswerInvalid(f"{name} is no number")


def _checked(read: Any) -> Any:
    try:
        return read()
    except (AnswerInvalid, ValueError, RecursionError) as error:
        raise _malformed() from error


def _malformed() -> ApiError:
    return ApiError(502, "The assessment service gave an answer that cannot be trusted", "It is not shown.")


def _refused(answer: urllib3.BaseHTTPResponse) -> ApiError:
    """The error for an answer that is none, in the API's own words where they are meant for people."""
    try:
        detail = str(json.loads(answer.data)["detail"])
    except (ValueError, TypeError, KeyError):
        detail = f"It answered with status {answer.status}."
    if answer.status not in _PASSED_ON:
        return ApiError(502, "The assessment service failed", detail)
    titles = {
        400: "The request was not understood",
        404: "Not found",
        409: "Not possible",
        413: "Too much at once",
        429: "Too many requests",
        503: "The assessment service is not available at the moment",
    }
    return ApiError(answer.status, titles[answer.status], detail, answer.headers.get("Retry-After"))
