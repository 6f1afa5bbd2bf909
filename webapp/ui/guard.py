"""Keep strangers out of the page: foreign hosts, requests sent by other sites, frames, foreign scripts."""

from urllib.parse import urlsplit

from flask import Flask, Response, request
from werkzeug.exceptions import Forbidden

_POLICY = (
    "default-src 'none'; img-src 'self' blob:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def install(app: Flask) -> None:
    """Guard every request and answer of `app`; its TRUSTED_HOSTS are checked by Flask itself."""
    app.before_request(_same_origin)
    app.after_request(_harden)


def _same_origin() -> None:
    """Refuse what a browser sends on behalf of another site; programs send neither header and are let through.

    Sec-Fetch-Site comes from every current browser on https and on this machine, Origin with every POST.
    """
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None and site not in ("same-origin", "none"):
        raise Forbidden("This was sent by another site.")
    if site is None and origin is not None and urlsplit(origin).netloc != request.host:
        raise Forbidden("This was sent by another site.")


def _harden(answer: Response) -> Response:
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    if request.endpoint != "static":
        answer.headers["Cache-Control"] = "no-store"
    return answer
