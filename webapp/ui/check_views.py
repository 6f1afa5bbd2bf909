"""Tell nginx whether a request is made by somebody who has logged in, before it reads what the request sends."""

from flask import Blueprint, Response

from webapp.ui import session
from webapp.ui.transport import ApiError

checks = Blueprint("checks", __name__)


@checks.get("/logged-in")
def logged_in() -> Response:
    """204 for a session or a program's token that is valid, 401 for another, 503 if nobody knows. It has no body."""
    try:
        session.check()
    except ApiError as error:
        return Response(status=401 if error.status == 401 else 503)
    return Response(status=204)
