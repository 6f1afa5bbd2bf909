"""Routes for admins and pneumoctl: the tokens of client programs."""

from http import HTTPStatus

from flask import Blueprint, Response, jsonify

from model.schema import Invalid, checked
from webapp import account_documents as documents
from webapp.api.accounts.tokens import ClientToken
from webapp.api.problems import Problem
from webapp.api.recording import recorded
from webapp.api.services import services
from webapp.requests import json_body

tokens = Blueprint("tokens", __name__, url_prefix="/v1/tokens")
_NEW = (
    'Send a JSON object with "name" (1 to 64 of a-z, 0-9, ".", "_", "-") and "scopes" '
    f"(a list of: {', '.join(documents.TOKEN_SCOPES)})."
)


@tokens.get("")
def index() -> Response:
    """All tokens, without their texts."""
    found, damaged = services().accounts.tokens.all()
    document: documents.Tokens = {"tokens": [_document(each) for each in found], "damaged": damaged}
    return jsonify(document)


@tokens.post("")
def create() -> tuple[Response, int]:
    """Make a token; the response is the only place that shows it."""
    try:
        sent: documents.NewToken = checked(json_body(), documents.NewToken)
    except Invalid as error:
        raise Problem(400, "bad-token", _NEW) from error
    with recorded("account", f"token:{sent['name']}", f"created for {', '.join(sent['scopes'])}"):
        text, token = services().accounts.tokens.create(sent["name"], sent["scopes"])
    document: documents.CreatedToken = {**_document(token), "token": text}
    return jsonify(document), HTTPStatus.CREATED


@tokens.delete("/<string:identifier>")
def revoke(identifier: str) -> tuple[str, int]:
    """Revoke a token, which is refused from then on."""
    with recorded("account", _name_of(identifier), "revoked"):
        services().accounts.tokens.revoke(identifier)
    return "", HTTPStatus.NO_CONTENT


def _name_of(identifier: str) -> str:
    """The name of a token for the trail; of one that there is not, nothing that was sent."""
    found, _ = services().accounts.tokens.all()
    return next((f"token:{each.name}" for each in found if each.id == identifier), "token: unknown")


def _document(token: ClientToken) -> documents.Token:
    return {"id": token.id, "name": token.name, "scopes": list(token.scopes), "created": token.created}
