"""The route that tells where the file of a result came from."""

from flask import Blueprint, Response, jsonify

from webapp.api import sources
from webapp.api.services import services

source_views = Blueprint("sources", __name__, url_prefix="/v1")


@source_views.get("/predictions/<identifier:identifier>/source")
def show(identifier: str) -> Response:
    """The folder and the study of a result, and other results of the same bytes."""
    record = services().store.get(identifier)
    digest = None if record.source is None else record.source["sha256"]
    return jsonify(sources.of(services(), record, digest))
