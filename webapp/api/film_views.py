"""The route of the 16-bit film of a result."""

from flask import Blueprint, Response

from webapp.api import recording
from webapp.api.problems import Problem
from webapp.api.services import services

films = Blueprint("films", __name__, url_prefix="/v1")


@films.get("/predictions/<identifier:identifier>/view.bin")
def view(identifier: str) -> Response:
    """The grey values of the film, up to 16 bits, whole or an error; see webapp/api/view_film.py."""
    store = services().store
    if store.get(identifier).film is None:
        raise Problem(404, "no-view", "No 16-bit film is stored with this result.")
    recording.read("view", identifier)
    return Response(store.film(identifier), mimetype="application/octet-stream")
