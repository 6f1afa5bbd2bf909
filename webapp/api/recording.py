"""What the API's views record in the trail of clinical acts, for the request at hand."""

from collections.abc import Iterator
from contextlib import contextmanager

from webapp.api.identity import Actor, acting
from webapp.api.services import services
from webapp.api.storage.errors import StoreUnavailable
from webapp.api.storage.reviews import Withdrawer
from webapp.api.storage.trail import Act
from webapp.documents import ActName, Outcome
from webapp.requests import request_id


def act(name: ActName, subject: str | None = None, outcome: Outcome = "done", detail: str = "") -> Act:
    """What whoever makes the request does now."""
    actor = acting()
    if actor.operator:
        return Act(name, actor.operator, "operator", "", request_id(), subject, outcome, detail)
    return Act(name, actor.name, actor.kind, actor.role, request_id(), subject, outcome, detail)


def read(name: ActName, subject: str | None, detail: str = "") -> None:
    """Record a view or an export. It is not refused if the trail cannot be written: care must not wait for it.

    The API's log then names it, and the next entry of the trail says that such acts are missing.
    """
    views, made = services().views, act(name, subject, detail=detail)
    view = (made.kind, made.actor, subject)
    if name == "view" and views.has(view):
        return
    if services().store.trail.append_or_owe(made) and name == "view":
        views.add(view)


@contextmanager
def recorded(name: ActName, subject: str, detail: str) -> Iterator[None]:
    """Record that a change begins, so that none is made without an entry; and then whether it was made or refused."""
    services().store.trail.append(act(name, subject, "begun", detail))
    try:
        yield
    except Exception:
        services().store.trail.append_or_owe(act(name, subject, "refused", detail))
        raise
    services().store.trail.append_or_owe(act(name, subject, "done", detail))


def login(user: str, role: str, detail: str = "") -> None:
    """Record a login, before its session begins."""
    services().store.trail.append(Act("login", user, "user", role, request_id(), detail=detail))


def login_refused(user: str | None) -> None:
    """Record a login that was refused, unless many were: see Attempts.refused.

    `user`: the name of one that there is; what else was typed may be a password.
    """
    try:
        detail = services().accounts.attempts.refused(user or "")
    except StoreUnavailable:
        detail = ""
    if detail is None:
        return
    made = Act("login", user or "unknown", "user", "", request_id(), outcome="refused", detail=detail)
    services().store.trail.append_or_owe(made)


def logout() -> None:
    """Record a logout, which is not refused."""
    services().store.trail.append_or_owe(act("logout"))


def who(actor: Actor | None = None) -> str | None:
    """Whoever makes the request, as reviews have it; None in a stack without users, where nobody is known."""
    actor = actor or acting()
    return {"user": actor.name, "token": f"token:{actor.name}"}.get(actor.kind)


def withdrawer() -> Withdrawer:
    """Whoever makes the request, and whether that is an admin."""
    return Withdrawer(who(), acting().role == "admin")
