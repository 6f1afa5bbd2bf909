"""What both applications do with every request: ids in URLs, a request id, its duration, unexpected errors."""

import logging
import re
import time
import uuid
from collections.abc import Callable

from flask import Flask, Response, g, request
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import BaseConverter

# Sent by health checks: the picture is scored and stored as any other, but expires soon and is not listed.
PROBE_HEADER = "X-Pneumo-Probe"
# Sent with reads that write results to a file: the trail records an export, not a view.
EXPORT_HEADER = "X-Pneumo-Export"
# Sent by the page with AUTH=users: the token of the user's session, or NO_SESSION if nobody has logged in.
SESSION_HEADER = "Session"
NO_SESSION = "none"
UNATTENDED_HEADER = "X-Unattended"  # the browser asks by itself: no use of the session, which would never end
CLIENT_ADDRESS_HEADER = "X-Client-Address"  # from which a login comes, as the page knows it
# Sent by pneumoctl with the stack's token: who runs it, as in its own record of changes, for the trail.
OPERATOR_HEADER = "X-Pneumo-Operator"
POSITION_HEADER = "X-Pneumo-Position"  # of a list: the last change of the store before it was read
_HEX_ID = re.compile(r"[0-9a-f]{32}")

Observer = Callable[[object, str, int, float], None]  # URL rule, method, status, seconds


class IdentifierConverter(BaseConverter):
    """The id of a prediction in a URL; any other text is 404 and never becomes a key of the store."""

    regex = _HEX_ID.pattern


def is_identifier(text: str) -> bool:
    """Whether the text has the form of a prediction's id."""
    return _HEX_ID.fullmatch(text) is not None


def register(app: Flask, *observers: Observer) -> None:
    """Give each request of `app` an id and report it to the observers when it is answered."""
    app.url_map.converters["identifier"] = IdentifierConverter
    app.before_request(_begin)

    def finish(response: Response) -> Response:
        seconds = time.perf_counter() - g.get("start", time.perf_counter())
        for observe in observers:
            observe(request.url_rule, request.method, response.status_code, seconds)
        return response

    app.after_request(finish)


def _begin() -> None:
    sent = request.headers.get("X-Request-ID", "")  # set by nginx or by the page, so that all logs use the same id
    g.request_id = sent if _HEX_ID.fullmatch(sent) else uuid.uuid4().hex
    g.start = time.perf_counter()


def with_allow(response: Response, error: Exception) -> Response:
    """The response to an error; that to a wrong method says which ones there are, as RFC 9110 demands."""
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
    return response


def json_body() -> object:
    """The JSON value in the body of the current request; None if there is none, which no document's type allows."""
    try:
        return request.get_json(silent=True)
    except RecursionError:  # too deeply nested
        return None


def request_id() -> str:
    """The id of the current request."""
    return str(g.get("request_id", "none"))


def instance() -> str:
    """The `instance` of a problem document (RFC 9457): it names the request, so that the log can be searched for it."""
    return f"urn:pneumoctl:request:{request_id()}"


def log_unexpected(log: logging.Logger, error: Exception) -> None:
    """Log an error's type and traceback without its message: no name or content of a picture may reach the log."""
    trace = (type(error), Exception("(message left out)"), error.__traceback__)
    log.error("request %s: unexpected %s", request_id(), type(error).__name__, exc_info=trace)
