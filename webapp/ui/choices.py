"""What the reader chooses for all pages: kept in a cookie for a year, without leaving the page."""

from urllib.parse import urlsplit

from flask import Response, redirect, request, url_for

_YEAR = 365 * 24 * 3600  # seconds


def keep(cookie: str, value: str, http_only: bool) -> Response:
    """Keep a choice and go back to the page with its form. Lax, so that it holds for a link from elsewhere, too."""
    response = redirect(_page_before(), 303)
    secure = request.is_secure or request.headers.get("X-Forwarded-Proto") == "https"
    response.set_cookie(cookie, value, max_age=_YEAR, secure=secure, httponly=http_only, samesite="Lax")
    return response


def _page_before() -> str:
    """The address of the page with the form, if it is one of this site."""
    page = urlsplit(request.headers.get("Referer", ""))
    if page.netloc != request.host or not page.path.startswith("/") or page.path.startswith("//"):
        return url_for("pages.home")
    return page.path + (f"?{page.query}" if page.query else "")
