"""Log in, log out, and set a password by a link."""

from contextlib import suppress

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for

from webapp.account_documents import NewSession
from webapp.ui import login_page, session
from webapp.ui.languages.said import say
from webapp.ui.transport import ApiError

login = Blueprint("login", __name__)


@login.get("/login")
def show() -> Response:
    """The form to log in."""
    return login_page.form(next_page=login_page.own_address(request.args.get("next", "")))


@login.post("/login")
def begin() -> Response:
    """Log in, then go on where the login was needed."""
    next_page = login_page.own_address(request.form.get("next", ""))
    kept, action = login_page.sent_fields()
    sent = {name: request.form.get(name, "") for name in ("name", "password", "code")}
    sent = {name: value for name, value in sent.items() if value or name != "code"}
    sent["name"] = sent["name"].strip().lower()
    try:
        began = session.accounts().begin(sent, session.client_address())
    except ApiError as error:
        return login_page.form(error, next_page, kept, action, sent["name"])
    if kept:
        name = began["user"]["name"]
        again = render_template("send_again.html", kept=kept, action=action, next_page=next_page, name=name)
        return _keep(make_response(again), began)
    return _keep(redirect(next_page or url_for("pages.home"), 303), began)


@login.post("/logout")
def end() -> Response:
    """Log out. If that fails, the session goes on, and the page says so."""
    session.accounts().end()
    return session.forget(redirect(url_for("login.show"), 303))


@login.get("/set-password")
def choose_password() -> Response:
    """The form to set a password, for the owner of a link."""
    return _password_form(request.args.get("link", ""))


@login.post("/set-password")
def set_password() -> Response:
    """Set the password, which also logs in."""
    link, password = request.form.get("link", ""), request.form.get("password", "")
    if password != request.form.get("repeated", ""):
        return _password_form(
            link, ApiError(400, say("The password is not set"), say("You typed two different passwords."))
        )
    try:
        began = session.accounts().begin({"link": link, "password": password}, session.client_address())
    except ApiError as error:
        return _password_form(link, error)
    return _keep(redirect(url_for("pages.home"), 303), began)


def _keep(response: Response, began: NewSession) -> Response:
    """Keep the new session; the one that the browser had before ends."""
    if session.has_session():
        with suppress(ApiError):  # it had ended, or ends by its limits
            session.accounts().end()
    return session.keep(response, began)


def _password_form(link: str, error: ApiError | None = None) -> Response:
    page = render_template("set_password.html", link=link, error=error)
    return make_response(page, 200 if error is None else error.status)
