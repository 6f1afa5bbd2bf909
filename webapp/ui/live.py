"""Tell an open list whether it is still up to date, for little: the browser asks every few seconds."""

from flask import Blueprint, Response, g, jsonify, request

from webapp.ui.views import backend

live = Blueprint("live", __name__)


@live.get("/predictions/changes")
def changes() -> Response:
    """The last change of the store as an ETag; 304 if it is the one that the browser names."""
    position = backend().api.position(g.request_id)
    response = jsonify(position=position)
    response.set_etag(position or "none")
    return response.make_conditional(request)
