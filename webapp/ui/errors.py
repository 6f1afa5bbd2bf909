"""Every error of the page: red, said plainly, with a way to try again, and never like a finding."""

import logging
from http import HTTPStatus

from flask import Flask, Response, g, jsonify, make_response, render_template, request, url_for
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, SecurityError

from webapp.gate import Busy
from webapp.ui.client import ApiError

log = logging.getLogger(__name__)
_PARAMETERS = {"id", "order", "finding", "cursor", "heatmap"}
_PASSING = {429, 500, 502, 503, 504}
_DRAINED = 256 * 1024 * 1024  # bytes; a browser shows an answer only when its upload was read to the end


def wants_json() -> bool:
    """Whether the client prefers JSON to a page."""
    return request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json"


def register(app: Flask) -> None:
    """Answer every exception of `app` with an error page, or a problem document (RFC 9457) for programs."""
    app.register_error_handler(Exception, _shown)


def _shown(error: Exception) -> Response:
    if isinstance(error, SecurityError):  # no address can be built for a foreign host, so no page either
        return Response("This host name is not served here.\n", 400, mimetype="text/plain")
    if isinstance(error, RequestEntityTooLarge):
        _drain()
    found = as_api_error(error)
    # Asking the same again helps only where the request was not to blame.
    return answered(found, "error.html", error=found, again=again() if found.status in _PASSING else None)


def as_api_error(error: Exception) -> ApiError:
    """The same error in words for people; what was not foreseen is logged and not explained."""
    match error:
        case ApiError():
            return error
        case Busy():
            return ApiError(503, "Too many uploads at once", "Wait a moment, then try again.", str(error.retry_after))
        case RequestEntityTooLarge():
            return ApiError(413, "Too much at once", "The files together are larger than is taken at once.")
        case HTTPException():
            status = error.code or 500
            return ApiError(status, HTTPStatus(status).phrase, error.description or "")
    log.error("request %s: unforeseen %s", g.get("request_id"), type(error).__name__, exc_info=_trace(error))
    return ApiError(500, "The page failed", "Something went wrong on this side.")


def answered(error: ApiError, template: str, /, **context: object) -> Response:
    """A page with the error's status, or the problem document."""
    if wants_json():
        document = {"type": "about:blank", "title": error.title, "status": error.status, "detail": error.detail}
        made = jsonify(document | {"instance": f"urn:pneumoctl:request:{g.get('request_id', 'none')}"})
        made.mimetype = "application/problem+json"
    else:
        made = make_response(render_template(template, **context))
    made.status_code = error.status
    made.headers["Vary"] = "Accept"
    if error.retry_after is not None:
        made.headers["Retry-After"] = error.retry_after
    return made


def again() -> str | None:
    """The address to try again: this page's own if it was asked for by GET; built, never repeated as it came."""
    if request.method != "GET" or request.endpoint is None:
        return None
    # Only our own parameters: url_for gives names such as _scheme a meaning.
    known = {name: values for name, values in request.args.to_dict(flat=False).items() if name in _PARAMETERS}
    return url_for(request.endpoint, **(request.view_args or {}), **known)


def _drain() -> None:
    """Read what is left of an upload that is too large, in small pieces, up to a bound."""
    left = min(request.content_length or 0, _DRAINED)
    while left > 0 and (piece := request.environ["wsgi.input"].read(min(left, 64 * 1024))):
        left -= len(piece)


def _trace(error: Exception) -> tuple[type[Exception], Exception, object]:
    return type(error), Exception("(message left out)"), error.__traceback__
