"""Erase all films of a study: exactly those that the reader was shown before."""

import re

from flask import Blueprint, Response, g, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import BadRequest, NotFound

from webapp.requests import is_identifier
from webapp.ui.languages.said import say
from webapp.ui.responses import ResultPage
from webapp.ui.transport import ApiError
from webapp.ui.views import backend

studies = Blueprint("studies", __name__)
MOST = 100  # films that can be erased from the page at once
_STUDY = re.compile("[A-Z2-7]{12}")
_PATH = "/studies/<study>"


@studies.get(_PATH + "/erase")
def confirm_erasure(study: str) -> Response:
    """Ask before the films of a study are erased, and list them."""
    films = _films(study)
    if not films.predictions and not films.damaged:
        raise NotFound(say("No film of this study is stored."))
    return make_response(render_template("erase_study.html", study=study, films=films, most=MOST))


@studies.post(_PATH + "/erase")
def erase(study: str) -> Response:
    """Erase the films that were shown, then redirect, so that a reload does not erase what came since."""
    _require_study(study)
    identifiers = list(dict.fromkeys(request.form.getlist("id")))
    if not 1 <= len(identifiers) <= MOST or not all(map(is_identifier, identifiers)):
        raise BadRequest(say("The request does not name the films to erase."))
    for number, identifier in enumerate(identifiers):
        try:
            backend().api.erase(identifier, g.request_id)
        except ApiError as error:
            if error.status == 404:  # it has expired meanwhile
                continue
            left = identifiers[number:]
            context = {"study": study, "done": number, "left": left, "error": error}
            return make_response(render_template("study_partly_erased.html", **context), error.status)
    return redirect(url_for("studies.erased", study=study), 303)


@studies.get(_PATH + "/erased")
def erased(study: str) -> Response:
    """Say whether films of a study are stored."""
    return make_response(render_template("study_erased.html", study=study, films=_films(study)))


def _films(study: str) -> ResultPage:
    _require_study(study)
    return backend().api.page({"study": study}, None, MOST, g.request_id)


def _require_study(study: str) -> None:
    if not _STUDY.fullmatch(study):
        raise NotFound(say("The address names no study."))
