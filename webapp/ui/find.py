"""Find the result of a file whose answer the browser has lost, without its name in an address."""

from flask import Blueprint, Response, g, jsonify
from werkzeug.exceptions import BadRequest

from model.schema import Invalid, checked
from webapp.documents import SentFile
from webapp.requests import json_body
from webapp.ui.languages.said import say
from webapp.ui.views import backend

finding = Blueprint("finding", __name__)


@finding.post("/predictions/find")
def find() -> Response:
    """The prediction for a SentFile document, as JSON."""
    try:
        sent: SentFile = checked(json_body(), SentFile)
    except Invalid as error:
        raise BadRequest(say("The request does not name a file.")) from error
    return jsonify(backend().api.find({"sha256": sent["sha256"], "file": sent["file"]}, g.request_id))
