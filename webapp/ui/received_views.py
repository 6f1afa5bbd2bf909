"""Films that arrived by DICOM: the page of those that have no result, and what the list says of them."""

from flask import Blueprint, Response, g, make_response, redirect, render_template, url_for

from webapp.documents import ReceivedFilms
from webapp.ui.transport import ApiError
from webapp.ui.views import backend

received = Blueprint("received", __name__, url_prefix="/received")


@received.app_template_global("received_films")
def films() -> ReceivedFilms | ApiError | None:
    """What became of received films, or why that is not known; None if the API is of a version that receives none."""
    try:
        return backend().api.received(g.request_id)
    except ApiError as error:
        return None if error.status == 404 else error


@received.app_template_test("not_known")
def not_known(found: object) -> bool:
    """Whether it is not known what became of received films."""
    return isinstance(found, ApiError)


@received.get("")
def index() -> Response:
    """How many films wait, and which have no result."""
    return make_response(render_template("received.html", found=backend().api.received(g.request_id)))


@received.post("/<identifier:identifier>/retry")
def retry(identifier: str) -> Response:
    """Have a film that failed scored once more, then redirect, so that a reload does not do it again."""
    backend().api.retry_received(identifier, g.request_id)
    return redirect(url_for("received.index"), 303)


@received.post("/<identifier:identifier>/discard")
def discard(identifier: str) -> Response:
    """Erase a film that failed, then redirect."""
    backend().api.discard_received(identifier, g.request_id)
    return redirect(url_for("received.index"), 303)
