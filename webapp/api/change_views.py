"""The route that tells whether something has changed in the store."""

from flask import Blueprint, Response, jsonify

from webapp.api.services import services

change_views = Blueprint("changes", __name__, url_prefix="/v1")


@change_views.get("/changes")
def position() -> Response:
    """The last change of the store."""
    return jsonify(position=services().store.lists.position())
