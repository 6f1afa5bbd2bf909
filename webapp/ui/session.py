"""Who uses the page: with AUTH=users each request needs a session, and the role of its user decides what is offered."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

from flask import Flask, Response, current_app, g, has_app_context, request

from webapp.account_documents import CurrentSession, NewSession
from webapp.environment import Auth
from webapp.requests import NO_SESSION, SESSION_HEADER, UNATTENDED_HEADER
from webapp.roles import OF_ROLE
from webapp.ui.account_client import AccountClient
from webapp.ui.languages.said import coded, say
from webapp.ui.transport import ApiError

_ACCOUNTS, _AUTH, _PROXY = "pneumo-accounts", "pneumo-auth", "pneumo-proxy"
_HELD: ContextVar[Mapping[str, str]] = ContextVar("_HELD", default=MappingProxyType({}))
_TOKEN = re.compile(r"[\w-]{20,200}", re.ASCII)
# Routes for people who have not logged in, and for monitoring.
_PUBLIC = {"static", "pages.livez", "pages.readyz", "pages.metrics", "themes.choose", "languages.choose"}
_PUBLIC |= {"login.show", "login.begin", "login.choose_password", "login.set_password", "checks.logged_in"}
# Each is one call of the API, which checks the session; a list has 50 of them.
_CHECKED_BY_API = {"pages.thumbnail", "pages.image", "pages.heatmap", "films.view"}
# Asked by scripts again and again, and by nginx; what else these ask has the header.
_UNATTENDED = {"live.changes", "checks.logged_in"}
_OF_PEOPLE = ("login", "account")  # blueprints
_NEEDED = {  # the scope that a route needs, beyond reading
    "pages.create": "predict",
    "finding.find": "predict",
    "reviews.add": "review",
    "reviews.withdraw": "review",
    "pages.confirm_erasure": "erase",
    "pages.erase": "erase",
    "studies.confirm_erasure": "erase",
    "studies.erase": "erase",
    "received.retry": "predict",
    "received.discard": "erase",
    "downloads.results": "export",
}


def install(app: Flask, auth: Auth, accounts: AccountClient, proxy: str = "") -> None:
    """Have every request checked before its view. `proxy`: the only address whose X-Real-IP is believed."""
    app.extensions[_ACCOUNTS], app.extensions[_AUTH], app.extensions[_PROXY] = accounts, auth, proxy
    app.jinja_env.globals.update(may=may, viewer=viewer, with_users=auth == "users")
    if auth == "users":
        app.before_request(_require)


def accounts() -> AccountClient:
    """The API's calls about users."""
    client: AccountClient = current_app.extensions[_ACCOUNTS]
    return client


def credentials() -> Mapping[str, str]:
    """The headers that tell the API for whom the current request is made."""
    sent: Mapping[str, str] = g.get("credentials", {}) if has_app_context() else _HELD.get()
    return sent


@contextmanager
def holding(credentials: Mapping[str, str]) -> Iterator[None]:
    """Within this block these are the credentials, if the request's view has returned: for a response in parts."""
    token = _HELD.set(credentials)
    try:
        yield
    finally:
        _HELD.reset(token)


def viewer() -> CurrentSession | None:
    """The session of the current request; None without users, for a program, and before the login."""
    found: CurrentSession | None = g.get("viewer")
    return found


def may(scope: str) -> bool:
    """Whether the page offers what needs that scope. The API decides again, for programs alone."""
    session = viewer()
    if session is not None:
        return scope in OF_ROLE[session["user"]["role"]]
    return current_app.extensions[_AUTH] == "none" or "Authorization" in credentials()


def has_session() -> bool:
    """Whether the browser has sent a session, which may have ended."""
    return credentials().get(SESSION_HEADER, NO_SESSION) != NO_SESSION


def check() -> None:
    """Raise ApiError unless the request has a session that goes on, or a program's token that is valid."""
    program = "Authorization" in credentials()
    if current_app.extensions[_AUTH] == "none":
        return
    if not program and not has_session():
        raise _not_logged_in()
    try:
        accounts().current()
    except ApiError as error:
        if not (program and error.status == 403):  # it is known, and has no session of its own
            raise


def client_address() -> str:
    """Where the request comes from: what nginx, in front of the page, says of it; of others the peer."""
    peer, proxy = request.remote_addr or "", current_app.extensions[_PROXY]
    return request.headers.get("X-Real-IP", peer) if proxy and peer == proxy else peer


def keep(response: Response, session: NewSession) -> Response:
    """Have the browser keep a session that began."""
    name, secure = _cookie()
    response.set_cookie(name, session["session"], secure=secure, httponly=True, samesite="Strict", path="/")
    return response


def forget(response: Response) -> Response:
    """Have the browser forget its session, and the small pictures that it keeps for a while."""
    name, secure = _cookie()
    response.delete_cookie(name, secure=secure, httponly=True, samesite="Strict", path="/")
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


def _not_logged_in() -> ApiError:
    return ApiError(401, say("Please log in"), say("Log in first."), code="session-ended")


def _require() -> None:
    """Raise ApiError unless the request has a session whose user may use the route."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer":  # a program; the API decides what its token allows
        g.credentials = {"Authorization": f"Bearer {token.strip()}"}
        if request.blueprint in _OF_PEOPLE:
            raise ApiError(
                403, say("Not allowed"), say("A program has no account and no session here."), code="forbidden"
            )
        return
    session = request.cookies.get(_cookie()[0], "")
    g.credentials = {SESSION_HEADER: session if _TOKEN.fullmatch(session) else NO_SESSION}
    if request.endpoint in _UNATTENDED or UNATTENDED_HEADER in request.headers:
        g.credentials[UNATTENDED_HEADER] = "1"
    if request.endpoint is None or request.endpoint in _PUBLIC:
        return
    if g.credentials[SESSION_HEADER] == NO_SESSION:
        raise _not_logged_in()
    if request.endpoint in _CHECKED_BY_API:
        return
    g.viewer = accounts().current()
    needed = _NEEDED.get(request.endpoint)
    if needed is not None and not may(needed):
        role = g.viewer["user"]["role"]
        raise ApiError(
            403,
            say("Not allowed"),
            say("A {role} may not do this. Ask your administrator.", role=coded("role", role, role)),
            code="forbidden",
        )


def _cookie() -> tuple[str, bool]:
    """The name of the cookie, and whether it is sent through TLS only: then no other host can set it."""
    secure = request.is_secure or request.headers.get("X-Forwarded-Proto") == "https"
    return ("__Host-session", True) if secure else ("session", False)
