"""Routes for the page: log in and out, and what users change of their own accounts."""

from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, jsonify, request

from model.schema import Invalid, checked
from webapp import account_documents as documents
from webapp.api import recording
from webapp.api.accounts import codes
from webapp.api.accounts.errors import LinkInvalid, LoginRefused
from webapp.api.accounts.users import User, moment
from webapp.api.authentication import own_session
from webapp.api.problems import Problem
from webapp.api.services import services
from webapp.requests import CLIENT_ADDRESS_HEADER, json_body

sessions = Blueprint("sessions", __name__, url_prefix="/v1")
_LOGIN = 'Send a JSON object with "name", "password" and, optionally, "code", or with "link" and "password".'


@sessions.post("/sessions")
def begin() -> tuple[Response, int]:
    """Log in with name and password, or with a link and a new password."""
    sent, accounts = json_body(), services().accounts
    name = detail = ""
    try:
        if isinstance(sent, dict) and "link" in sent:
            link: documents.LinkLogin = _checked(documents.LinkLogin)
            user, detail = accounts.log_in_by_link(link["link"], link["password"], _address()), "password set by link"
        else:
            login: documents.Login = _checked(documents.Login)
            name = login["name"]
            user = accounts.log_in(name, login["password"], login.get("code", ""), _address())
    except (LoginRefused, LinkInvalid):
        recording.login_refused(accounts.named(name))
        raise
    return _began(user, detail)


@sessions.get("/sessions/current")
def current() -> Response:
    """The user of the request's session, and when it ends unless it is used."""
    user, session, _ = own_session()
    document: documents.CurrentSession = {
        "user": {"name": user.name, "role": user.role},
        "totp": user.needs_code,
        "expires": moment(services().accounts.sessions.expires(session)),
    }
    return jsonify(document)


@sessions.delete("/sessions/current")
def end() -> tuple[str, int]:
    """Log out."""
    services().accounts.sessions.end(own_session()[2])
    recording.logout()
    return "", HTTPStatus.NO_CONTENT


@sessions.delete("/sessions")
def end_all() -> tuple[str, int]:
    """End all sessions of the user, this one too."""
    services().accounts.end_sessions(own_session()[0])
    recording.logout()
    return "", HTTPStatus.NO_CONTENT


@sessions.put("/account/password")
def change_password() -> tuple[Response, int]:
    """Change the user's password; all sessions end, and a new one begins."""
    sent: documents.NewPassword = _checked(documents.NewPassword)
    with recording.recorded("account", own_session()[0].name, "password"):
        user = services().accounts.change_password(own_session()[0], sent["password"], sent["new"], _address())
    return _began(user)


@sessions.post("/account/totp")
def begin_totp() -> tuple[Response, int]:
    """Make a secret for one-time codes; they are asked for once one of them is confirmed."""
    user = _proven()
    if user.needs_code:
        raise Problem(409, "totp-on", "One-time codes are on. Turn them off first.")
    secret = services().accounts.begin_totp(user)
    document: documents.TotpSecret = {"secret": secret, "uri": codes.address(secret, user.name)}
    return jsonify(document), HTTPStatus.CREATED


@sessions.put("/account/totp")
def confirm_totp() -> tuple[str, int]:
    """Turn one-time codes on with the first one."""
    sent: documents.Code = _checked(documents.Code)
    with recording.recorded("account", own_session()[0].name, "one-time codes on"):
        services().accounts.confirm_totp(own_session()[0], sent["code"], _address())
    return "", HTTPStatus.NO_CONTENT


@sessions.delete("/account/totp")
def end_totp() -> tuple[str, int]:
    """Turn one-time codes off; needs the password."""
    with recording.recorded("account", own_session()[0].name, "one-time codes off"):
        services().accounts.end_totp(_proven())
    return "", HTTPStatus.NO_CONTENT


def _proven() -> User:
    """The user, who has sent the password with the request."""
    sent: documents.Password = _checked(documents.Password)
    user = own_session()[0]
    services().accounts.prove(user, sent["password"], _address())
    return user


def _began(user: User, detail: str = "") -> tuple[Response, int]:
    recording.login(user.name, user.role, detail)
    token, session = services().accounts.sessions.begin(user)
    document: documents.NewSession = {
        "session": token,
        "user": {"name": user.name, "role": user.role},
        "expires": moment(services().accounts.sessions.expires(session)),
    }
    return jsonify(document), HTTPStatus.CREATED


def _checked(document: Any) -> Any:
    """The request's body as a document of that type."""
    try:
        return checked(json_body(), document)
    except Invalid as error:
        wanted = _LOGIN if document in (documents.Login, documents.LinkLogin) else "The request is not complete."
        raise Problem(400, "bad-request", wanted) from error


def _address() -> str:
    """Where the request comes from, as the page tells."""
    return request.headers.get(CLIENT_ADDRESS_HEADER, request.remote_addr or "")[:64]
