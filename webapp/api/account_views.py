"""Routes for admins and pneumoctl: the users."""

from http import HTTPStatus

from flask import Blueprint, Response, jsonify

from model.schema import Invalid, checked
from webapp import account_documents as documents
from webapp.api.accounts import users as stored
from webapp.api.problems import Problem
from webapp.api.recording import recorded
from webapp.api.services import services
from webapp.requests import json_body

accounts = Blueprint("accounts", __name__, url_prefix="/v1/users")
_NEW = f'Send a JSON object with "name" (1 to 64 of a-z, 0-9, ".", "_", "-") and "role" ({", ".join(documents.ROLES)}).'
_CHANGE = f'Send a JSON object with "role" ({", ".join(documents.ROLES)}), "disabled" (true or false), or both.'


@accounts.get("")
def index() -> Response:
    """All users."""
    found, damaged = services().accounts.users.all()
    document: documents.Users = {"users": [_document(each) for each in found], "damaged": damaged}
    return jsonify(document)


@accounts.post("")
def create() -> tuple[Response, int]:
    """Invite a user; the response has the link with which the user sets a password."""
    try:
        sent: documents.NewUser = checked(json_body(), documents.NewUser)
    except Invalid as error:
        raise Problem(400, "bad-user", _NEW) from error
    with recorded("account", sent["name"], f"created as {sent['role']}"):
        return _invited(*services().accounts.users.create(sent["name"], sent["role"]))


@accounts.patch("/<string:name>")
def change(name: str) -> Response:
    """Change the role of a user, or disable or enable one; a disabled user's sessions end at once."""
    try:
        sent: documents.UserChange = checked(json_body(), documents.UserChange)
    except Invalid as error:
        raise Problem(400, "bad-user", _CHANGE) from error
    if not sent:
        raise Problem(400, "bad-user", _CHANGE)
    with recorded("account", _known(name), _in_words(sent)):
        changed = services().accounts.users.change(_known(name), sent.get("role"), sent.get("disabled"))
    return jsonify(_document(changed))


@accounts.delete("/<string:name>")
def remove(name: str) -> tuple[str, int]:
    """Remove a user, whose sessions end at once."""
    with recorded("account", _known(name), "removed"):
        services().accounts.users.remove(_known(name))
    return "", HTTPStatus.NO_CONTENT


@accounts.post("/<string:name>/link")
def link(name: str) -> tuple[Response, int]:
    """A new link for a user, whose password, one-time codes and sessions end."""
    with recorded("account", _known(name), "new link"):
        return _invited(*services().accounts.users.new_link(_known(name)))


def _in_words(sent: documents.UserChange) -> str:
    """A change for the trail."""
    words = [] if "disabled" not in sent else ["disabled" if sent["disabled"] else "enabled"]
    return ", ".join(words + ([f"role: {sent['role']}"] if "role" in sent else []))


def _known(name: str) -> str:
    """A name from an address; one that no user can have never becomes a key of the store."""
    try:
        known: str = checked(name, documents.Name)
    except Invalid as error:
        raise Problem(404, "not-found", "There is no user of that name.") from error
    return known


def _invited(user: stored.User, link: stored.Link) -> tuple[Response, int]:
    sent: documents.Link = {"token": link.token, "expires": link.expires}
    document: documents.InvitedUser = {**_document(user), "link": sent}
    return jsonify(document), HTTPStatus.CREATED


def _document(user: stored.User) -> documents.User:
    return {
        "name": user.name,
        "role": user.role,
        "state": user.state,
        "created": user.created,
        "last_login": user.last_login,
        "totp": user.needs_code,
    }
