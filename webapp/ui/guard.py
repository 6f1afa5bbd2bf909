"""Protect the page from other sites: cross-site requests, frames, foreign scripts and foreign host names."""

from urllib.parse import urlsplit

from flask import Flask, Response, request
from werkzeug.exceptions import Forbidden

from webapp.ui.languages.said import say

_CONTENT_POLICY = (
    "default-src 'none'; img-src 'self' blob:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def install(app: Flask) -> None:
    """Check every request and add security headers to every response; Flask itself checks TRUSTED_HOSTS."""
    app.before_request(_reject_cross_site)
    app.after_request(_set_headers)


def _reject_cross_site() -> None:
    """Reject what a browser sends on behalf of another site; programs send neither header and are accepted.

    Every current browser sends Sec-Fetch-Site over https and to localhost, and Origin with every POST.
    """
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None and site not in ("same-origin", "none"):
        raise Forbidden(say("This request was sent by another site."))
    if site is None and origin is not None and urlsplit(origin).netloc != request.host:
        raise Forbidden(say("This request was sent by another site."))


def _set_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    return response
