"""Who makes the current request: a person, a client program with a token of its own, or the stack itself."""

from dataclasses import dataclass
from typing import Literal

from flask import g

from webapp.roles import SCOPES


@dataclass(frozen=True)
class Actor:
    """Who acts. `name`: of the user or of the token. `role`: a user's; "client" of a token, "admin" of the stack.

    The stack is pneumoctl, or the page of a stack without users. operator: who runs pneumoctl, if it says so.
    scopes: what the actor may do.
    """

    name: str
    kind: Literal["user", "token", "stack"]
    role: str
    scopes: frozenset[str] = frozenset()
    operator: str = ""

    def may(self, scope: str) -> bool:
        """Whether the actor may do what needs that scope."""
        return scope in self.scopes


PAGE = Actor("page", "stack", "none")  # with AUTH=users, before anybody has logged in
RECEIVER = Actor("dicom receiver", "token", "client", frozenset({"dicom"}))
STACK = Actor("stack", "stack", "admin", frozenset(SCOPES))


def acting() -> Actor:
    """Who makes the current request, which was authenticated; a LookupError if it was not."""
    actor = g.get("actor")
    if actor is None:
        raise LookupError("this request was not authenticated")
    return actor


def set_acting(actor: Actor) -> None:
    """Record who makes the current request; for the authentication, and for tests."""
    g.actor = actor
