"""What people say of a result: add a review, withdraw one."""

from flask import Blueprint, Response, g, redirect, request, url_for

from webapp.ui.list_query import ListQuery
from webapp.ui.views import backend

reviews = Blueprint("reviews", __name__)
_PATH = "/predictions/<identifier:identifier>/feedback"


@reviews.post(_PATH)
def add(identifier: str) -> Response:
    """Add a person's review of a result."""
    query = ListQuery.read()  # before anything is saved
    label, comment = request.form.get("label", ""), request.form.get("comment", "").strip()
    return _back(identifier, query, backend().api.add_feedback(identifier, label, comment, g.request_id))


@reviews.post(_PATH + "/<identifier:entry>/withdrawal")
def withdraw(identifier: str, entry: str) -> Response:
    """Withdraw a review, which stays visible."""
    query = ListQuery.read()  # before anything is withdrawn
    backend().api.withdraw_feedback(identifier, entry, g.request_id)
    return _back(identifier, query, entry)


def _back(identifier: str, query: ListQuery, review: str) -> Response:
    """To the result, as it was shown, with a word on the review: a reload does not send it again."""
    fields = {**query.fields, **({"heatmap": "1"} if request.args.get("heatmap") == "1" else {})}
    said = {"saved": review, "_anchor": "saved"} if review else {"_anchor": "feedback"}
    return redirect(url_for("pages.show", identifier=identifier, **fields, **said), 303)
