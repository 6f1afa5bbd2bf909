"""The 16-bit film of a result, for the viewer's window and level."""

from flask import Blueprint, Response, g

from webapp.ui.transport import ApiError
from webapp.ui.views import backend

films = Blueprint("films", __name__)


@films.get("/predictions/<identifier:identifier>/view.bin")
def view(identifier: str) -> Response:
    """The film as the API gives it; 204 if it has none, as an API of an earlier version, so that no error is logged."""
    try:
        content = backend().api.film(identifier, g.request_id)
    except ApiError as error:
        if error.status == 404:
            return Response(status=204)
        raise
    return Response(content, mimetype="application/octet-stream")
