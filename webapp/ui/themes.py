"""The colours of the page: those of the reader's system, or a theme that a cookie names."""

from dataclasses import dataclass

from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import BadRequest

from webapp.ui import choices
from webapp.ui.languages.said import say

COOKIE = "theme"

themes = Blueprint("themes", __name__)


@dataclass(frozen=True)
class Theme:
    """A theme: its words, the style sheet that replaces the light colours, and the screens on which it does."""

    name: str
    label: str
    sheet: str = ""
    media: str = ""
    color_scheme: str = "dark"


SYSTEM = Theme("system", say("As the system"), "dark", "screen and (prefers-color-scheme: dark)", "light dark")
THEMES = (
    SYSTEM,
    Theme("light", say("Light"), color_scheme="light"),
    Theme("dark", say("Dark"), "dark", "screen"),
    Theme("reading-room", say("Reading room"), "reading-room", "screen"),
)
_BY_NAME = {theme.name: theme for theme in THEMES}


def install(app: Flask) -> None:
    """Give every template the theme of the request, so that no page is first drawn in other colours."""
    app.register_blueprint(themes)
    app.jinja_env.globals["themes"] = THEMES
    app.context_processor(lambda: {"theme": _BY_NAME.get(request.cookies.get(COOKIE, ""), SYSTEM)})


@themes.post("/theme")
def choose() -> Response:
    """Keep the chosen theme in a cookie and go back to the page. theme.js does the same without a request."""
    chosen = _BY_NAME.get(request.form.get("theme", ""))
    if chosen is None:
        raise BadRequest(say("There is no such theme."))
    return choices.keep(COOKIE, chosen.name, http_only=False)  # theme.js writes it, too
