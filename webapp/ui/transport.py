"""Send requests to the API within limits of time and number; every failure becomes an ApiError."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProtocolError
from urllib3.exceptions import TimeoutError as HttpTimeout

from model.serving import unix_socket
from webapp.concurrency import Busy, ConcurrencyLimit
from webapp.ui import whole_response
from webapp.ui.api_error import TITLES, open_outcome, status_error
from webapp.ui.api_error import ApiError as ApiError
from webapp.ui.languages.said import say
from webapp.ui.round_robin import RoundRobin
from webapp.ui.settings import ApiLimits

_CONNECT_TIMEOUT = 2.0  # seconds; the API is on the same network
_MAX_PROBES = 4  # readiness probes that wait for the API at the same time
_THUMBNAILS = 8  # small pictures for which it asks the API at the same time
_CHUNK = 64 * 1024  # bytes
_RETRY_AFTER = "5"  # seconds; a restart of the API takes about as long
_NO_ANSWER = say("The assessment service does not answer")
_TOO_LONG = say("The assessment service took too long")
_CALLER_ERRORS = {400, 401, 403, 404, 409, 413}  # the request was wrong, the API works
_SHARED = ContextVar("_SHARED", default=math.inf)  # when the time of a block of requests is over (monotonic seconds)


@dataclass(frozen=True)
class Answer:
    """A complete response with a status of success, or with one that the caller accepts."""

    headers: Mapping[str, str]
    data: bytes


class Transport:
    """The API at one address or several. Safe to share between threads.

    At most `limits.max_reads` requests that are no upload wait for the API at the same time; the next ones fail at
    once. Each has `limits.read_seconds` for all of its attempts, so that an API that hangs never takes every thread of
    the page for long. Uploads have a longer limit, and the views bound their number.
    """

    def __init__(
        self,
        urls: Sequence[str],
        token: str,
        limits: ApiLimits,
        report_failure: Callable[[str], None] = lambda kind: None,
        connections: int = 16,
        socket: Path | None = None,
        credentials: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`report_failure` is called with the kind of each failure.

        `credentials`: headers of each request that tell for whom it is made; they come before the page's own token.

        `socket`: where the one API listens on this machine; the address then serves as its name only.
        """
        self._addresses = RoundRobin(urls)
        self._token = token
        self._limits = limits
        self._reads = ConcurrencyLimit(limits.max_reads, retry_after=2)
        self._thumbnails = ConcurrencyLimit(limits.max_thumbnails, retry_after=2)
        self._few_thumbnails = ConcurrencyLimit(_THUMBNAILS, retry_after=2)
        self._probes = ConcurrencyLimit(_MAX_PROBES, retry_after=2)
        self._report_failure = report_failure
        self._credentials = credentials
        pool = partial(unix_socket.pool, socket) if socket else urllib3.PoolManager
        self._http = whole_response.bound(pool(maxsize=connections, retries=False))

    def upload(self, path: str, request_id: str, **options: Any) -> Answer:
        """POST files; the response may take `limits.upload_seconds`, counted from the last byte that was sent."""
        timeout = urllib3.Timeout(connect=_CONNECT_TIMEOUT, read=self._limits.upload_seconds)
        return self._send("POST", path, request_id, lambda: timeout, **options)

    def request(self, method: str, path: str, request_id: str, may_repeat: bool = True, **options: Any) -> Answer:
        """Send any other request. If a connection breaks and the request `may_repeat`, it is sent once more.

        The option `accepted`: statuses that are an answer, beside those of success.
        """
        return self._bounded(self._reads, method, path, request_id, may_repeat, **options)

    def thumbnail(self, path: str, request_id: str) -> Answer:
        """GET a small picture. A list has many: they wait for one another, and take no place of the other reads."""
        return self._bounded(self._thumbnails, "GET", path, request_id, queue=self._few_thumbnails)

    def probe(self, path: str, request_id: str) -> Answer:
        """GET the API's own state; the reads of people take no place of it."""
        return self._bounded(self._probes, "GET", path, request_id)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Within this block all requests of this thread that are no uploads share the time of one."""
        token = _SHARED.set(time.monotonic() + self._limits.read_seconds)
        try:
            yield
        finally:
            _SHARED.reset(token)

    def _bounded(
        self,
        places: ConcurrencyLimit,
        method: str,
        path: str,
        request_id: str,
        may_repeat: bool = True,
        queue: ConcurrencyLimit | None = None,
        **options: Any,
    ) -> Answer:
        """Send a request that takes one of the `places`, and waits for one in the `queue`, if there is any."""
        deadline = min(time.monotonic() + self._limits.read_seconds, _SHARED.get())
        if time.monotonic() >= deadline:  # the API was not even asked
            raise ApiError(504, _TOO_LONG, say("The API did not respond in time."))

        def remaining() -> urllib3.Timeout:
            seconds = deadline - time.monotonic()
            if seconds <= 0:
                raise HttpTimeout
            return urllib3.Timeout(connect=min(_CONNECT_TIMEOUT, seconds), total=seconds)

        try:
            with places.slot(), queue.slot(deadline - time.monotonic()) if queue else nullcontext():
                return self._send(method, path, request_id, remaining, may_repeat, **options)
        except Busy as error:
            detail = say("Too many requests wait for its answer. Try again in a moment.")
            raise ApiError(503, TITLES[503], detail, str(error.retry_after)) from error

    def _send(
        self,
        method: str,
        path: str,
        request_id: str,
        limit: Callable[[], urllib3.Timeout],
        may_repeat: bool = True,
        headers: Mapping[str, str] | None = None,
        accepted: Sequence[int] = (),
        **options: Any,
    ) -> Answer:
        """Send a request to the first address that accepts a connection. `limit`: of an attempt, or HttpTimeout."""
        own = {"Authorization": f"Bearer {self._token}", "X-Request-ID": request_id, "Accept": "application/json, */*"}
        options |= {
            "headers": {**own, **self._credentials(), **(headers or {})},
            "redirect": False,
            "preload_content": False,
        }
        urls = self._addresses.order()
        while True:
            url = urls.pop(0)
            try:
                with closing(self._http.request(method, url + path, timeout=limit(), **options)) as response:
                    return self._checked(response, _body(response, limit), accepted)
            except (NewConnectionError, ConnectTimeoutError) as error:  # nothing was sent
                self._mark_failed(url, "unreachable")
                if not urls:
                    raise ApiError(502, _NO_ANSWER, say("It cannot be reached."), _RETRY_AFTER) from error
            except HttpTimeout as error:
                self._mark_failed(url, "timeout")
                detail = say("The API did not respond in time.{outcome}", outcome=open_outcome(method, path))
                raise ApiError(504, _TOO_LONG, detail) from error
            except ProtocolError as error:
                self._report_failure("broken")
                if not may_repeat:
                    detail = say(
                        "The connection closed before a response arrived.{outcome}", outcome=open_outcome(method, path)
                    )
                    raise ApiError(502, _NO_ANSWER, detail) from error
                may_repeat = False
                urls.append(url)  # after the others: the API may be restarting, or it closed an idle connection
            except HTTPError as error:
                self._report_failure("broken")
                detail = say("The connection failed.{outcome}", outcome=open_outcome(method, path))
                raise ApiError(502, _NO_ANSWER, detail) from error

    def _checked(self, response: urllib3.BaseHTTPResponse, body: bytes, accepted: Sequence[int]) -> Answer:
        if response.status in accepted or HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
            return Answer(response.headers, body)
        error = status_error(response.status, body, response.headers.get("Retry-After"))
        if error.code == "unauthorized" and "Authorization" in self._credentials():
            raise ApiError(
                401, say("Not logged in"), error.detail, code=error.code
            )  # the token of a program, not the page's
        if error.status not in _CALLER_ERRORS:
            self._report_failure("status")
        raise error

    def _mark_failed(self, url: str, kind: str) -> None:
        self._addresses.mark_failed(url)
        self._report_failure(kind)


def _body(response: urllib3.BaseHTTPResponse, limit: Callable[[], urllib3.Timeout]) -> bytes:
    """The whole body; the time is checked at each part, too."""
    parts = []
    while part := response.read1(_CHUNK):
        parts.append(part)
        limit()
    response.release_conn()
    return b"".join(parts)
