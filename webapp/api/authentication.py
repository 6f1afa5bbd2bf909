"""Authenticate every request, and check that the actor may make it; only what is named as public needs nothing."""

import hmac
import re
from dataclasses import replace

from flask import g, request

from webapp.api import permissions
from webapp.api.accounts.sessions import Session
from webapp.api.accounts.users import User
from webapp.api.identity import PAGE, RECEIVER, STACK, Actor, set_acting
from webapp.api.problems import Problem
from webapp.api.services import services
from webapp.requests import EXPORT_HEADER, NO_SESSION, OPERATOR_HEADER, SESSION_HEADER, UNATTENDED_HEADER
from webapp.roles import OF_ROLE

_OPERATOR = re.compile(r"[\w.@-]{1,128}", re.ASCII)


def authenticate() -> None:
    """Raise a Problem unless the request's bearer token, and its session, allow its route."""
    if request.endpoint is None or "actor" in g:  # no such route, or authenticated already
        return
    needed = permissions.needed(request.endpoint, exported=EXPORT_HEADER in request.headers)
    if needed == permissions.PUBLIC:
        return
    actor = _actor(with_session=needed != permissions.PAGE)
    set_acting(actor)
    if needed == permissions.PAGE:
        allowed = actor.kind == "stack"
    elif needed == permissions.SELF:
        allowed = actor.kind == "user"
    else:
        allowed = actor.may(needed)
    if not allowed:
        raise _ended() if actor == PAGE else Problem(403, "forbidden", f"{_called(actor)} may not do this.")


def own_session() -> tuple[User, Session, str]:
    """The user, the session and its token of the current request, whose route needs a session."""
    user, session, token = g.session
    return user, session, token


def _actor(with_session: bool) -> Actor:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer":
        raise _unauthorized()
    settings = services().settings
    of_page = _is_one_of(token, settings.page_token, settings.page_token_previous)
    if of_page or _is_one_of(token, settings.token, settings.token_previous):
        sender = PAGE if of_page and settings.auth == "users" else _of_stack(by_page=of_page)
        return _of_session(sender) if with_session and settings.auth == "users" else sender
    if _is_one_of(token, settings.receiver_token, settings.receiver_token_previous):
        return RECEIVER
    client = services().accounts.tokens.verified(token)
    if client is None:
        raise _unauthorized()
    return Actor(client.name, "token", "client", frozenset(client.scopes))


def _of_stack(by_page: bool) -> Actor:
    """The stack; with the person who runs pneumoctl, as far as the holder of the stack's own token says so."""
    operator = "" if by_page else request.headers.get(OPERATOR_HEADER, "")
    return replace(STACK, operator=operator) if _OPERATOR.fullmatch(operator) else STACK


def _is_one_of(token: str, *tokens: str) -> bool:
    accepted = [each for each in tokens if each]
    sent = token.encode("utf-8", "surrogatepass")
    matches = [hmac.compare_digest(sent, each.encode()) for each in accepted]  # constant time: no early exit
    return any(matches)


def _of_session(otherwise: Actor) -> Actor:
    """Who acts is told by the session; without its header it is whose token was sent: pneumoctl's, or the page's."""
    token = request.headers.get(SESSION_HEADER)
    if token is None:
        return otherwise
    if token == NO_SESSION:
        return PAGE
    found = services().accounts.sessions.current(token, used=UNATTENDED_HEADER not in request.headers)
    if found is None:
        raise _ended()
    g.session = (*found, token)
    user = found[0]
    return Actor(user.name, "user", user.role, OF_ROLE[user.role])


def _called(actor: Actor) -> str:
    return f"A {actor.role}" if actor.kind == "user" else f"The {actor.kind}"


def _unauthorized() -> Problem:
    return Problem(401, "unauthorized", "A valid bearer token is required.")


def _ended() -> Problem:
    return Problem(401, "session-ended", "Log in again.")
