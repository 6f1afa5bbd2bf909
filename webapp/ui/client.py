"""Talk to the API: every response is checked, and every failure becomes an ApiError."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProtocolError
from urllib3.exceptions import TimeoutError as HttpTimeout

from model.serving import unix_socket
from model.serving.prediction import Prediction
from webapp.documents import Feedback, Place
from webapp.requests import PROBE_HEADER
from webapp.ui import responses
from webapp.ui.multipart import Multipart
from webapp.ui.responses import ResultPage, UploadResult
from webapp.ui.round_robin import RoundRobin

Document = TypeVar("Document")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CONNECT_TIMEOUT = 2.0  # seconds; the API is on the same network
_NO_ANSWER = "The assessment service does not answer"
_CALLER_ERRORS = {400, 404, 409, 413}  # the request was wrong, the API works
_TITLES = {  # of the statuses that are passed on to the browser; all others become 502
    400: "The request was not understood",
    404: "Not found",
    409: "Not possible",
    413: "The upload is too large",
    429: "Too many requests",
    503: "The assessment service is not available at the moment",
}


class ApiError(Exception):
    """The API failed, or its response cannot be shown: HTTP `status`, `title` and `detail` for the browser."""

    def __init__(self, status: int, title: str, detail: str, retry_after: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.retry_after = retry_after


class ApiClient:
    """The API at one address or several. Safe to share between threads."""

    def __init__(
        self,
        urls: Sequence[str],
        token: str,
        timeout: float,
        report_failure: Callable[[str], None] = lambda kind: None,
        connections: int = 16,
        socket: Path | None = None,
    ) -> None:
        """`timeout` is in seconds, for each read; `report_failure` is called with the kind of each failure.

        `socket`: where the one API listens on this machine; the address then serves as its name only.
        """
        self._addresses = RoundRobin(urls)
        self._token = token
        self._report_failure = report_failure
        limit = urllib3.Timeout(connect=_CONNECT_TIMEOUT, read=timeout)
        pool = partial(unix_socket.pool, socket) if socket else urllib3.PoolManager
        self._http = pool(maxsize=connections, retries=False, timeout=limit)

    def predict(self, files: Sequence[tuple[str, BinaryIO]], request_id: str, probe: bool = False) -> UploadResult:
        """Have files scored and stored; the results of a `probe` expire soon and are not listed."""
        body = Multipart(files)
        headers = {"Content-Type": body.content_type, "Content-Length": str(body.length)}
        headers |= {PROBE_HEADER: "1"} if probe else {}
        response = self._request("POST", "/v1/predictions", request_id, headers=headers, body=body)
        return _read(response, lambda answer: responses.upload_result(answer, len(files)))

    def page(self, chosen: Mapping[str, str], cursor: str | None, limit: int, request_id: str) -> ResultPage:
        """A page of the list with these parameters."""
        fields = {**chosen, "limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        response = self._request("GET", "/v1/predictions", request_id, fields=fields)
        return _read(response, lambda answer: responses.result_page(answer, chosen))

    def place(self, identifier: str, chosen: Mapping[str, str], request_id: str) -> Place:
        """Where a prediction stands in the list with these parameters."""
        path = f"/v1/predictions/{identifier}/place"
        return _read(self._request("GET", path, request_id, fields=dict(chosen)), responses.place)

    def show(self, identifier: str, request_id: str) -> tuple[Prediction, bool]:
        """A stored prediction, and whether a picture is stored with it."""
        response = self._request("GET", f"/v1/predictions/{identifier}", request_id)
        has_picture = 'rel="preview"' in response.headers.get("Link", "")
        return _read(response, lambda answer: responses.prediction(answer, identifier)), has_picture

    def png(self, identifier: str, name: str, request_id: str) -> bytes:
        """The picture "image.png", "thumbnail.png" or "heatmap.png" of a prediction."""
        content = self._request("GET", f"/v1/predictions/{identifier}/{name}", request_id).data
        if not content.startswith(_PNG_SIGNATURE):
            raise _invalid_response()
        return content

    def feedback(self, identifier: str, request_id: str) -> list[Feedback]:
        """The feedback on a prediction."""
        response = self._request("GET", f"/v1/predictions/{identifier}/feedback", request_id)
        return _read(response, responses.feedback)

    def add_feedback(self, identifier: str, label: str, comment: str, request_id: str) -> None:
        """Add feedback to a prediction."""
        headers = {"Content-Type": "application/json"}
        body = json.dumps({"label": label, "comment": comment})
        path = f"/v1/predictions/{identifier}/feedback"
        self._request("POST", path, request_id, headers=headers, body=body, may_repeat=False)

    def ready(self, request_id: str) -> None:
        """Raises ApiError unless the API is ready."""
        self._request("GET", "/readyz", request_id)

    def _request(
        self,
        method: str,
        path: str,
        request_id: str,
        headers: Mapping[str, str] | None = None,
        may_repeat: bool = True,
        **options: Any,
    ) -> urllib3.BaseHTTPResponse:
        """Send a request to the first address that accepts a connection.

        If a connection breaks and the request `may_repeat`, it is sent once more.
        """
        own = {"Authorization": f"Bearer {self._token}", "X-Request-ID": request_id, "Accept": "application/json, */*"}
        options["headers"] = {**own, **(headers or {})}
        urls = self._addresses.order()
        while True:
            url = urls.pop(0)
            try:
                return self._check_status(self._http.request(method, url + path, redirect=False, **options))
            except (NewConnectionError, ConnectTimeoutError) as error:  # nothing was sent
                self._mark_failed(url, "unreachable")
                if not urls:
                    raise ApiError(502, _NO_ANSWER, "It cannot be reached.") from error
            except HttpTimeout as error:
                self._mark_failed(url, "timeout")
                detail = f"The API did not respond in time.{_open_outcome(method, path)}"
                raise ApiError(504, "The assessment service took too long", detail) from error
            except ProtocolError as error:
                self._report_failure("broken")
                if not may_repeat:
                    detail = f"The connection closed before a response arrived.{_open_outcome(method, path)}"
                    raise ApiError(502, _NO_ANSWER, detail) from error
                may_repeat = False
                urls.append(url)  # after the others: the API may be restarting, or it closed an idle connection
            except HTTPError as error:
                self._report_failure("broken")
                detail = f"The connection failed.{_open_outcome(method, path)}"
                raise ApiError(502, _NO_ANSWER, detail) from error

    def _check_status(self, response: urllib3.BaseHTTPResponse) -> urllib3.BaseHTTPResponse:
        if not HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
            if response.status not in _CALLER_ERRORS:
                self._report_failure("status")
            raise _status_error(response)
        return response

    def _mark_failed(self, url: str, kind: str) -> None:
        self._addresses.mark_failed(url)
        self._report_failure(kind)


def _open_outcome(method: str, path: str) -> str:
    """What the API may have done although its response was lost; empty for a request that only reads."""
    if method != "POST":
        return ""
    if path.endswith("/feedback"):
        return " The feedback may have been saved: look at the result before you send it again."
    return " The files may have been assessed: look under Results before you send them again."


def _read(response: urllib3.BaseHTTPResponse, parse: Callable[[object], Document]) -> Document:
    """The parsed JSON body; raises ApiError if it is not what the API promises."""
    try:
        return parse(json.loads(response.data))
    except (ValueError, RecursionError) as error:  # Invalid is a ValueError
        raise _invalid_response("It may be of another version. To update both, run: pneumoctl up") from error


def _invalid_response(hint: str = "") -> ApiError:
    return ApiError(502, "The assessment service gave an invalid answer", f"The answer is not shown. {hint}".strip())


def _status_error(response: urllib3.BaseHTTPResponse) -> ApiError:
    """The error for a response with an error status, with the API's own detail if it has one."""
    try:
        detail = str(json.loads(response.data)["detail"])
    except (ValueError, TypeError, KeyError):
        detail = f"It answered with status {response.status}."
    if response.status not in _TITLES:
        return ApiError(502, "The assessment service failed", detail)
    return ApiError(response.status, _TITLES[response.status], detail, response.headers.get("Retry-After"))
