"""The colours of the page: those of the reader's system, or a theme that a cookie names."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, redirect, request, url_for
from werkzeug.exceptions import BadRequest

COOKIE = "theme"
_YEAR = 365 * 24 * 3600  # seconds

themes = Blueprint("themes", __name__)


@dataclass(frozen=True)
class Theme:
    """A theme: its words, the style sheet that replaces the light colours, and the screens on which it does."""

    name: str
    label: str
    sheet: str = ""
    media: str = ""
    color_scheme: str = "dark"


SYSTEM = Theme("system", "As the system", "dark", "screen and (prefers-color-scheme: dark)", "light dark")
THEMES = (
    SYSTEM,
    Theme("light", "Light", color_scheme="light"),
    Theme("dark", "Dark", "dark", "screen"),
    Theme("reading-room", "Reading room", "reading-room", "screen"),
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
        raise BadRequest("There is no such theme.")
    response = redirect(_back(), 303)
    secure = request.is_secure or request.headers.get("X-Forwarded-Proto") == "https"
    # Not HttpOnly: theme.js writes it. Lax, so that a link from elsewhere opens in the chosen theme, too.
    response.set_cookie(COOKIE, chosen.name, max_age=_YEAR, secure=secure, samesite="Lax")
    return response


def _back() -> str:
    """The address of the page with the form, if it is one of this site."""
    page = urlsplit(request.headers.get("Referer", ""))
    if page.netloc != request.host or not page.path.startswith("/") or page.path.startswith("//"):
        return url_for("pages.home")
    return page.path + (f"?{page.query}" if page.query else "")
