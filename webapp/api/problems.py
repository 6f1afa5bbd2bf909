"""Every error of the API as a problem document of RFC 9457."""

import logging
from http import HTTPStatus

from flask import Flask, Response, g, jsonify
from werkzeug.exceptions import HTTPException

from webapp.api.store import Damaged, Missing, StoreUnavailable
from webapp.gate import Busy

TYPE = "urn:pneumoctl:problem:"
RETRY_AFTER = 5  # seconds; Redis is back after a restart by its supervisor, a burst has been worked off

log = logging.getLogger(__name__)


class Problem(Exception):
    """An error for the client: HTTP `status`, a `code` for programs, a `detail` for people."""

    def __init__(self, status: int, code: str, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after

    def as_dict(self) -> dict[str, object]:
        """The document; `instance` names the request, so that a report can be found in the log."""
        return {
            "type": TYPE + self.code,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "instance": f"urn:pneumoctl:request:{g.get('request_id', 'none')}",
        }

    def response(self) -> Response:
        """The document as an answer."""
        answer = jsonify(self.as_dict())
        answer.status_code = self.status
        answer.mimetype = "application/problem+json"
        if self.retry_after is not None:
            answer.headers["Retry-After"] = str(self.retry_after)
        if self.status == HTTPStatus.UNAUTHORIZED:
            answer.headers["WWW-Authenticate"] = "Bearer"
        return answer


def problem(error: Exception) -> Problem:
    """What the client is told about `error`; what was not foreseen is logged and not explained."""
    match error:
        case Problem():
            return error
        case Busy():
            return Problem(503, "busy", "Too many pictures are being read; try again shortly.", error.retry_after)
        case StoreUnavailable():
            log.error("request %s: store: %s", g.get("request_id"), error)
            return Problem(503, "store-unavailable", "Results cannot be kept or read at the moment.", RETRY_AFTER)
        case Damaged():
            log.error("request %s: damaged: %s", g.get("request_id"), error)
            return Problem(500, "record-damaged", "The record is damaged: its seal does not fit. It is not shown.")
        case Missing():
            return Problem(404, "not-found", str(error))
        case HTTPException():
            status = error.code or 500
            code = HTTPStatus(status).phrase.lower().replace(" ", "-")
            return Problem(status, code, error.description or HTTPStatus(status).phrase)
    # The trace names lines of code and no values: a picture's name or content must not reach the log.
    log.error("request %s: unforeseen %s", g.get("request_id"), type(error).__name__, exc_info=_trace(error))
    return Problem(500, "internal", "Something went wrong on this side. Nothing was assessed.")


def _trace(error: Exception) -> tuple[type[Exception], Exception, object]:
    return type(error), Exception("(message left out)"), error.__traceback__


def register(app: Flask) -> None:
    """Answer every exception of `app` with a problem document."""
    app.register_error_handler(Exception, lambda error: problem(error).response())
