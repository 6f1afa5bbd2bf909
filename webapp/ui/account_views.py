"""What users change of their own accounts: password, one-time codes, sessions."""

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for

from webapp.ui import session
from webapp.ui.languages.said import say
from webapp.ui.transport import ApiError

account = Blueprint("account", __name__, url_prefix="/account")
_WRONG = say("The password is wrong.")
_DONE = {
    "password": say("Your password is changed. All other sessions have ended."),
    "codes-on": say("One-time codes are on: the next login asks for one."),
    "codes-off": say("One-time codes are off."),
}


@account.get("")
def show() -> Response:
    """The account of the user."""
    return _page(done=_DONE.get(request.args.get("done", "")))


@account.post("/password")
def change_password() -> Response:
    """Change the password."""
    new = request.form.get("new", "")
    if new != request.form.get("repeated", ""):
        return _page(ApiError(400, say("The password is not changed"), say("You typed two different new passwords.")))
    try:
        began = session.accounts().change_password(request.form.get("password", ""), new, session.client_address())
    except ApiError as error:
        return _page(_told(error, say("The password is not changed")))
    return session.keep(_done("password"), began)


@account.post("/codes")
def begin_codes() -> Response:
    """Show the secret of one-time codes, for an authenticator app."""
    try:
        secret = session.accounts().begin_totp(request.form.get("password", ""), session.client_address())
    except ApiError as error:
        return _page(_told(error, say("One-time codes are not on")))
    return make_response(render_template("codes.html", secret=secret["secret"], uri=secret["uri"], error=None))


@account.post("/codes/confirmation")
def confirm_codes() -> Response:
    """Turn one-time codes on with the first one."""
    try:
        session.accounts().confirm_totp(request.form.get("code", ""), session.client_address())
    except ApiError as error:
        told = _told(error, say("One-time codes are not on"), say("The code is wrong."))
        secret, uri = request.form.get("secret", ""), request.form.get("uri", "")
        return make_response(render_template("codes.html", secret=secret, uri=uri, error=told), told.status)
    return _done("codes-on")


@account.post("/codes/end")
def end_codes() -> Response:
    """Turn one-time codes off."""
    try:
        session.accounts().end_totp(request.form.get("password", ""), session.client_address())
    except ApiError as error:
        return _page(_told(error, say("One-time codes are still on")))
    return _done("codes-off")


@account.post("/sessions/end")
def end_sessions() -> Response:
    """Log out everywhere."""
    session.accounts().end_all()
    return session.forget(redirect(url_for("login.show"), 303))


def _told(error: ApiError, title: str, wrong: str = _WRONG) -> ApiError:
    """An error of one of these forms; those of the session or of the API are raised."""
    if error.code not in ("login-failed", "weak-password", "too-many-attempts", "totp-on"):
        raise error
    detail = wrong if error.code == "login-failed" else error.detail
    return ApiError(error.status, title, detail, error.retry_after, error.code)


def _page(error: ApiError | None = None, done: str | None = None) -> Response:
    page = render_template("account.html", session=session.viewer(), error=error, done=done)
    return make_response(page, 200 if error is None else error.status)


def _done(what: str) -> Response:
    return redirect(url_for("account.show", done=what), 303)
