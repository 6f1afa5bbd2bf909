"""The page to log in: what it keeps of the request that needs a login, and where it goes afterwards."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from flask import Response, make_response, render_template, request, url_for

from webapp.ui.languages.said import say
from webapp.ui.transport import ApiError

_KEPT = "kept."  # before the names of the fields that are kept
_MAX_KEPT = 20  # fields
_MAX_KEPT_BYTES = 64 * 1024
_IS_KEPT = "reviews.add"  # the one form that a person fills in; others hold passwords, or ask before films are erased


def ended(error: ApiError) -> Response:
    """The answer to a request of a browser that needs a login: the page to log in.

    Whoever opens a page comes back to it afterwards. What a form has sent is not lost: it is kept in the page to log
    in, and shown afterwards, to be sent again.
    """
    if request.method == "GET" and request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate":
        response = make_response("", 303)
        response.headers["Location"] = url_for("login.show", next=_next())
        return response
    kept = _kept() if request.method == "POST" else {}
    if kept:
        detail = say("What you sent was not saved. Log in again: it is then shown, and you can send it.")
    elif request.method == "POST":
        detail = say("Nothing was sent on and nothing was saved. Log in again, then repeat it.")
    else:
        detail = say("Log in again, then reload the page.")
    told = ApiError(error.status, error.title, detail, code=error.code)
    action = request.path if kept else ""
    return form(told, next_page=_next(), kept=kept, action=action)


def form(
    error: ApiError | None = None, next_page: str = "", kept: Mapping[str, str] | None = None, action: str = "", name=""
) -> Response:
    """The page to log in. `next_page`: where to go then; `kept`: fields of a form that was to be sent to `action`."""
    context = {"error": error, "next_page": next_page, "kept": kept or {}, "action": action, "name": name}
    response = make_response(render_template("login.html", **context), 200 if error is None else error.status)
    if error is not None and error.retry_after is not None:
        response.headers["Retry-After"] = error.retry_after
    return response


def sent_fields() -> tuple[dict[str, str], str]:
    """The fields that a submitted page to log in had kept, and where they were to be sent; none if it is not here."""
    fields = {name.removeprefix(_KEPT): value for name, value in request.form.items() if name.startswith(_KEPT)}
    action = own_address(request.form.get("action", ""))
    return (fields, action) if fields and action else ({}, "")


def own_address(address: str) -> str:
    """The address, if it is a path of this page; otherwise empty: nobody is sent elsewhere."""
    plain = address.isprintable() and "\\" not in address
    parts = urlsplit(address) if plain and address.startswith("/") and not address.startswith("//") else None
    return address if parts is not None and not parts.scheme and not parts.netloc else ""


def _next() -> str:
    """Where to go after the login: the page that was asked for, or the one of the form that was sent."""
    if request.method == "GET":
        return request.full_path.rstrip("?")
    if request.blueprint == "received":
        return url_for("received.index")
    match request.view_args:
        case {"study": study}:
            return url_for("studies.confirm_erasure", study=study)
        case {"identifier": identifier}:
            return url_for("pages.show", identifier=identifier)
    return url_for("pages.home")


def _kept() -> dict[str, str]:
    """The fields of a review, which a person wrote."""
    small = (request.content_length or 0) <= _MAX_KEPT_BYTES
    if not small or request.endpoint != _IS_KEPT or request.mimetype != "application/x-www-form-urlencoded":
        return {}
    fields = {name: value for name, value in request.form.items() if value}
    return fields if len(fields) <= _MAX_KEPT else {}
