"""What became of received films: how many wait, and which have no result; those can be tried again or removed."""

from dataclasses import asdict
from http import HTTPStatus

from flask import Blueprint, Response, jsonify

from webapp.api.recording import recorded
from webapp.api.services import services
from webapp.documents import ReceivedFilms

received = Blueprint("received", __name__, url_prefix="/v1/received")


@received.get("")
def index() -> Response:
    """How many films wait to be scored, for how long, and the newest ones that failed."""
    queue = services().store.queue
    state = queue.state()
    document: ReceivedFilms = {
        "waiting": state.waiting,
        "oldest_s": state.oldest_s,
        "failed": [asdict(each) for each in queue.failed()],
        "failed_total": state.failed,
    }
    return jsonify(document)


@received.post("/<identifier:identifier>/retry")
def retry(identifier: str) -> tuple[str, int]:
    """Queue a film that failed once more."""
    with recorded("upload", identifier, "received film, tried again"):
        services().store.queue.retry(identifier)
    return "", HTTPStatus.NO_CONTENT


@received.delete("/<identifier:identifier>")
def discard(identifier: str) -> tuple[str, int]:
    """Erase a film that failed, and its error."""
    with recorded("erase", identifier, "received film"):
        services().store.queue.discard(identifier)
    return "", HTTPStatus.NO_CONTENT
