"""Turn every error of the API into a problem document (RFC 9457)."""

import logging
from http import HTTPStatus

from flask import Flask, Response, jsonify
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES as TITLES  # those of HTTPStatus differ between versions of Python

from webapp import documents
from webapp.api.accounts.errors import Exists, LastAdmin, LinkInvalid, LoginRefused, TooManyAttempts
from webapp.api.accounts.passwords import Weak
from webapp.api.storage.errors import (
    ClockWrong,
    Damaged,
    Missing,
    NotAuthor,
    NotRead,
    PictureDamaged,
    StoreFull,
    StoreUnavailable,
    TrailUnavailable,
)
from webapp.concurrency import Busy
from webapp.requests import instance, log_unexpected, request_id, with_allow

TYPE = "urn:pneumoctl:problem:"
RETRY_AFTER = 5  # seconds; enough for a supervisor to restart Redis, or for a burst to be worked off
_STORE_FULL = (
    "The store is full, so nothing was stored and there is no result. Trying again does not help: results have to be "
    "erased, or the settings redis_memory_mb or retention_days changed. `pneumoctl status` says how."
)
_CLOCK_WRONG = (
    "A clock of this installation is wrong, so it cannot be told how long a result has been kept, and nothing was "
    "stored. Trying again does not help until the clock is set. Logs of the API say more: `pneumoctl logs api`."
)
_NOT_RECORDED = (
    "This cannot be recorded in the trail of clinical acts, so it was refused: nothing was stored, changed or erased, "
    "and there is no result. Logs of the API say more: `pneumoctl logs api`."
)

log = logging.getLogger(__name__)


class Problem(Exception):
    """An error for the client: HTTP `status`, a `code` for programs, a `detail` for people."""

    def __init__(self, status: int, code: str, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after

    def document(self) -> documents.Problem:
        """The problem document."""
        return {
            "type": TYPE + self.code,
            "title": TITLES[self.status],
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "instance": instance(),
        }

    def response(self) -> Response:
        """The problem document as a response."""
        response = jsonify(self.document())
        response.status_code = self.status
        response.mimetype = "application/problem+json"
        if self.retry_after is not None:
            response.headers["Retry-After"] = str(self.retry_after)
        if self.status == HTTPStatus.UNAUTHORIZED and self.code == "unauthorized":
            response.headers["WWW-Authenticate"] = "Bearer"
        return response


def problem(error: Exception) -> Problem:
    """The problem to report for `error`; an unexpected error is logged and not explained to the client."""
    match error:
        case Problem():
            return error
        case LoginRefused():
            return Problem(401, "login-failed", "The name, the password or the code is wrong.")
        case LinkInvalid():
            return Problem(401, "link-invalid", "This link was used, has expired or was replaced. Ask for a new one.")
        case TooManyAttempts():
            detail = "Too many logins were tried. Wait, then try again."
            return Problem(429, "too-many-attempts", detail, error.retry_after)
        case Weak():
            return Problem(400, "weak-password", str(error))
        case Exists():
            return Problem(409, "user-exists", "There is a user of that name.")
        case LastAdmin():
            return Problem(
                409,
                "last-admin",
                "This is the last active admin, or the last one invited. Make another user an admin first.",
            )
        case Busy():
            return Problem(503, "busy", "Too many pictures are being processed. Try again shortly.", error.retry_after)
        case StoreFull():
            log.error("request %s: store: %s", request_id(), error)
            return Problem(507, "store-full", _STORE_FULL)
        case ClockWrong():
            log.error("request %s: store: %s", request_id(), error)
            return Problem(503, "clock-wrong", _CLOCK_WRONG)
        case TrailUnavailable():
            log.error("request %s: trail: %s", request_id(), error)
            return Problem(503, "trail-unavailable", _NOT_RECORDED, RETRY_AFTER)
        case StoreUnavailable():
            log.error("request %s: store: %s", request_id(), error)
            return Problem(503, "store-unavailable", "Results cannot be stored or read at the moment.", RETRY_AFTER)
        case PictureDamaged():
            log.error("request %s: damaged: %s", request_id(), error)
            detail = "The stored picture is lost or damaged, so it is not shown. The result itself is intact."
            return Problem(500, "picture-damaged", detail)
        case NotRead():
            so_far = f"{error.read} of {error.results} results so far" if error.results else "it has just begun"
            detail = f"The list is being read: {so_far}. Filters and search work afterwards. Try again shortly."
            return Problem(503, "list-not-read", detail, RETRY_AFTER)
        case Damaged():
            log.error("request %s: damaged: %s", request_id(), error)
            return Problem(500, "record-damaged", "The record is damaged: its integrity check failed. It is not shown.")
        case Missing():
            return Problem(404, "not-found", str(error))
        case NotAuthor():
            return Problem(403, "not-author", "Only whoever made a review, or an admin, may withdraw it.")
        case HTTPException():
            status = error.code or 500
            code = TITLES[status].lower().replace(" ", "-")
            return Problem(status, code, error.description or TITLES[status])
    log_unexpected(log, error)
    return Problem(500, "internal", "An internal error occurred. This request or file has no result.")


def register(app: Flask) -> None:
    """Answer every exception of `app` with a problem document."""
    app.register_error_handler(Exception, lambda error: with_allow(problem(error).response(), error))
