"""Show every error of the page as an error: in red, in plain words, with a way to try again, never like a finding."""

import logging
from collections.abc import Mapping

from flask import Flask, Response, current_app, jsonify, make_response, render_template, request, url_for
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, SecurityError

from webapp.concurrency import Busy
from webapp.requests import instance, log_unexpected, with_allow
from webapp.ui import list_query, login_page
from webapp.ui.languages import choice
from webapp.ui.languages.said import coded, say
from webapp.ui.list_query import ListQuery
from webapp.ui.transport import ApiError

log = logging.getLogger(__name__)
_PARAMETERS = {"id", "cursor", "heatmap", "saved", *list_query.NAMES}
_BAD_CURSOR = say("Its address is of another list, or was cut off. Begin with the first page.")
_TRANSIENT = {429, 500, 502, 503, 504}
_MAX_DRAINED = 256 * 1024 * 1024  # bytes; a browser shows a response only after its upload was read to the end


def wants_json() -> bool:
    """Whether the client prefers JSON to HTML."""
    return request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json"


def register(app: Flask) -> None:
    """Answer every exception of `app` with an error page, or with a problem document (RFC 9457) for programs."""
    app.register_error_handler(Exception, _handle)


def _handle(error: Exception) -> Response:
    if isinstance(error, SecurityError):  # for a foreign host name no URL can be built, and so no page rendered
        return Response("This host name is not served here.\n", 400, mimetype="text/plain")
    shown = as_api_error(error)
    may_log_in = shown.code == "session-ended" and "login" in current_app.blueprints and not wants_json()
    login = login_page.ended(shown) if may_log_in else None
    if isinstance(error, RequestEntityTooLarge) or shown.status in (401, 403):
        _drain_upload()
    if login is not None:
        return login
    # Trying again helps only if the request was not the cause.
    again = retry_url() if shown.status in _TRANSIENT else None
    return with_allow(error_response(shown, "error.html", error=shown, again=again, back=_back(shown)), error)


def as_api_error(error: Exception) -> ApiError:
    """The error in words for people; an unexpected error is logged and not explained."""
    match error:
        case ApiError():
            return error
        case Busy():
            return ApiError(
                503, say("Too many uploads at once"), say("Wait a moment, then try again."), str(error.retry_after)
            )
        case RequestEntityTooLarge():
            return ApiError(
                413, say("The upload is too large"), say("The files are larger in total than the page accepts.")
            )
        case HTTPException():
            status = str(error.code or 500)
            detail = coded("status-detail", status, error.description or "")
            return ApiError(error.code or 500, coded("status", status, error.name), detail)
    log_unexpected(log, error)
    return ApiError(500, say("The page failed"), say("An internal error occurred."))


def error_response(error: ApiError, template: str, /, **context: object) -> Response:
    """A page with the error's status, or the problem document if the client prefers JSON."""
    if wants_json():
        document = {"type": "about:blank", "title": error.title, "status": error.status, "detail": error.detail}
        response = jsonify(document | choice.for_scripts(error.title, error.detail) | {"instance": instance()})
        response.mimetype = "application/problem+json"
    else:
        response = make_response(render_template(template, **context))
    response.status_code = error.status
    response.headers["Vary"] = "Accept"
    if error.retry_after is not None:
        response.headers["Retry-After"] = error.retry_after
    return response


def list_response(error: ApiError, query: ListQuery) -> Response:
    """Say that a list is not read yet, and have the browser ask again; to programs, the error. Raises the others."""
    if error.code == "bad-cursor":
        raise ApiError(400, say("There is no such page of the list"), _BAD_CURSOR, code=error.code) from error
    if error.code != "list-not-read":
        raise error
    response = error_response(error, "list_not_read.html", error=error, query=query, again=retry_url())
    if error.retry_after and not wants_json():
        response.headers["Refresh"] = error.retry_after
    return response


def retry_url() -> str | None:
    """The URL to try again: that of this page if it was a GET; built from its parts, never copied from the request."""
    if request.method != "GET" or request.endpoint is None:
        return None
    # Only our own parameters: url_for gives names such as _scheme a meaning.
    arguments = request.args.to_dict(flat=False)
    own = {name: values for name, values in arguments.items() if name in _PARAMETERS}
    return url_for(request.endpoint, **(request.view_args or {}), **own)


def _back(error: ApiError) -> tuple[str, str] | None:
    """Words and address of the way back from an error.

    From one about a result: to it, or to the list that the reader left; from a list that there is not: to its first
    page, or to all results.
    """
    if request.endpoint == "pages.index" and error.status == 400:
        if error.code != "bad-cursor":
            return say("All results"), url_for("pages.index")
        return say("The first page"), url_for("pages.index", **_list_fields(request.args))
    if "identifier" not in (request.view_args or {}):
        return None
    values = {} if error.code is None and error.status == 400 else request.args.to_dict()  # they may be the cause
    fields = _list_fields(values)
    if request.method == "POST":
        address = url_for("pages.show", identifier=request.view_args["identifier"], **fields)
        return say("Go back to the result and try again"), address
    return say("Back to the list"), url_for("pages.index", **fields)


def _list_fields(values: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if name in list_query.NAMES}


def _drain_upload() -> None:
    """Read and drop the rest of an upload that is too large, up to a limit."""
    remaining = min(request.content_length or 0, _MAX_DRAINED)
    while remaining > 0 and (chunk := request.environ["wsgi.input"].read(min(remaining, 64 * 1024))):
        remaining -= len(chunk)
