"""The first admin of a stack: made by `up` if the stack has no user."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pneumoctl.accounts import links
from pneumoctl.accounts.client import PROOF, Accounts, checked_name, is_name
from pneumoctl.stack import audit

FALLBACK = "admin"


@dataclass(frozen=True)
class FirstAdmin:
    """What `up` says of the admins: the link of one that it made, or the names of those who have never logged in."""

    name: str = ""
    link: Mapping[str, Any] | None = None
    invited: tuple[str, ...] = ()
    not_made: str = ""  # the name that was wanted, if there are users already
    damaged: tuple[str, ...] = ()

    @property
    def changed(self) -> list[str]:
        """What was done, as a command's document and the audit record list it."""
        return [f"first admin {self.name}"] if self.link else []

    def lines(self, page: str) -> list[str]:
        """What to tell the person who brought the stack up. `page`: the address of the web page."""
        if self.link:
            return [
                f"{self.name} is the first admin of the web page",
                *links.lines(page, self.name, self.link),
                "for a new link: pneumoctl users reset " + self.name,
                "to add users: pneumoctl users add NAME --role reviewer",
            ]
        said = [f"admin {name} has set no password yet: pneumoctl users reset {name}" for name in self.invited]
        if self.not_made:
            add = f"pneumoctl users add {self.not_made} --role admin"
            said.append(f"there are users already, so that {self.not_made} was not made an admin; to add one: {add}")
        if self.damaged:
            said.append(f"users whose record is damaged cannot log in: {', '.join(self.damaged)}")
        return said

    def document(self, page: str) -> dict[str, Any] | None:
        """The JSON value of the admin that was made, or None."""
        return {"name": self.name, "role": "admin", "link": links.document(page, self.link)} if self.link else None


def ensure(accounts: Accounts, wanted: str = "") -> FirstAdmin:
    """Make an admin if there is no user at all. `wanted`: the name; empty: that of this machine's user, if it fits.

    Damaged users count as users: whoever can damage records must not get an admin for it.
    """
    users, damaged = accounts.users()
    people = [user for user in users if user["name"] != PROOF]
    lost = tuple(name for name in damaged if name != PROOF)
    if people or lost:
        active = any(user["role"] == "admin" and user["state"] == "active" for user in people)
        invited = [user["name"] for user in people if user["role"] == "admin" and user["state"] == "invited"]
        known = wanted in {user["name"] for user in people}
        return FirstAdmin("", None, () if active else tuple(invited), "" if known else wanted, lost)
    name = checked_name(wanted) if wanted else default_name()
    made = accounts.invite(name, "admin")
    return FirstAdmin(name, made["link"])


def default_name() -> str:
    """The login name of this machine's user, if it can be that of a user of the page and belongs to a person."""
    name = audit.current_user().partition("@")[0]
    fits = is_name(name) and re.search("[a-z]", name) and name not in ("root", PROOF)
    return name if fits else FALLBACK
