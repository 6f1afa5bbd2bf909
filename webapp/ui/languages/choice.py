"""The language of the page: that of a cookie, or the one that the browser prefers."""

from dataclasses import dataclass

from flask import Blueprint, Flask, Response, has_request_context, request
from markupsafe import Markup
from werkzeug.exceptions import BadRequest

from webapp.ui import choices
from webapp.ui.languages import findings, said
from webapp.ui.languages.catalogue import CATALOGUES
from webapp.ui.languages.said import say

COOKIE = "language"

languages = Blueprint("languages", __name__)


@dataclass(frozen=True)
class Language:
    """A language: its code (BCP 47), and its name in itself."""

    code: str
    label: str


LANGUAGES = (Language("en", "English"), Language("es", "Español"))
_CODES = [language.code for language in LANGUAGES]


def install(app: Flask) -> None:
    """Give every template its words."""
    app.register_blueprint(languages)
    app.jinja_env.globals.update(t=_text, tn=_text_n, by_code=_by_code, languages=LANGUAGES, current_language=current)
    app.jinja_env.filters.update(
        shown=shown,
        count=lambda value: said.number(value, current()),
        probability=lambda value, other: findings.probability(value, other, current()),
        words=lambda document: findings.finding(document, current()),
        figures=lambda point: findings.figures(point, current()),
        timestamp=lambda created: findings.timestamp(created, current()),
    )
    app.context_processor(lambda: {"language": current()})


def current() -> str:
    """The code of the language of the current request; English outside of one."""
    if not has_request_context():
        return "en"
    chosen = request.cookies.get(COOKIE, "")
    wanted = [chosen, *(tag.partition("-")[0].lower() for tag in request.accept_languages.values())]
    return next((code for code in wanted if code in _CODES), "en")


def shown(words: str) -> str:
    """Words in the language of the current request."""
    return said.shown(words, current())


@languages.post("/language")
def choose() -> Response:
    """Keep the chosen language in a cookie and go back to the page."""
    chosen = request.form.get("language", "")
    if chosen not in _CODES:
        raise BadRequest(say("There is no such language."))
    return choices.keep(COOKIE, chosen, http_only=True)


def for_scripts(*sentences: str) -> dict[str, str]:
    """The member of a JSON document that scripts show to people, whose other members are English; none in English."""
    return {} if current() == "en" else {"shown": ": ".join(shown(each).removesuffix(".") for each in sentences) + "."}


def fault(detail: str) -> dict[str, str]:
    """The error of a file in a JSON document."""
    return {"detail": detail, **for_scripts(detail)}


def _text(english: str, **values: object) -> Markup:
    """Words of a template, which may contain elements; what is put into them is escaped."""
    catalogue = CATALOGUES.get(current())
    found = english if catalogue is None else catalogue.texts.get(english, english)
    return Markup(found).format(**values)  # noqa: S704 - words of the catalogue


def _text_n(one: str, many: str, number: int, **values: object) -> Markup:
    """Words of a template about a number of things, {n} in the text."""
    return _text(one if number == 1 else many, n=said.number(number, current()), **values)


def _by_code(kind: str, code: str | None, english: str) -> str:
    return said.by_code(kind, code, english, current())
