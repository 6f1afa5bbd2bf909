"""`pneumoctl users`: who may use the stack's web page."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from pneumoctl.accounts import links
from pneumoctl.accounts.client import ROLES, Accounts, checked_name, require_role
from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.cli.options import Yes
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.scoring.api_client import ApiClient
from pneumoctl.stack import audit
from pneumoctl.targets.dispatch import target
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import to_second

app = typer.Typer(name="users", help="Add, list, disable and reset the users of the web page.", rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Up to 64 of a-z, 0-9, dot, underscore and hyphen.")]
Role = Annotated[
    str,
    typer.Option("--role", metavar="|".join(ROLES), help="Sees results; also uploads and reviews; also manages all."),
]


@app.command()
@on_stack()
def add(invocation: Invocation, name: Name, role: Role = "reader") -> int:
    """Add a user, and show a link to set a password.

    The link is for one use, ends by itself, and is not shown again; for another one: users reset. Hand it on where only
    that person reads it. A reader sees results; a reviewer also uploads and reviews; an admin may do everything.
    """
    user = checked_name(name)
    require_role(role)
    with (
        opened(invocation) as accounts,
        audit.recorded(invocation.stack, "users add", {"name": user, "role": role}) as act,
    ):
        act.begin()
        made = accounts.invite(user, role)
        act.changed = [f"user {user}: {role}"]
    _show_link(invocation, made, f"{user} is a {role} now" if role == "reader" else f"{user} is {_a(role)} now")
    return 0


@app.command()
@on_stack()
def ls(invocation: Invocation) -> int:
    """List all users.

    Exit codes: 6 the record of a user is damaged: that user cannot log in.
    """
    with opened(invocation) as accounts:
        users, damaged = accounts.users()
    console.result({"stack": invocation.stack.name, "users": users, "damaged": damaged})
    columns = ("user", "role", "state", "one-time codes", "last login", "added")
    console.table(
        columns, [_row(user) for user in users], ["" if user["state"] == "active" else "yellow" for user in users]
    )
    if not users:
        console.text("there is no user; the next `pneumoctl up` makes an admin")
    if damaged:
        console.warn(
            f"damaged records, whose users cannot log in: {', '.join(damaged)}. Add each again: pneumoctl users add"
        )
    return Exit.PARTLY if damaged else Exit.DONE


def _row(user: Mapping[str, Any]) -> tuple[str, ...]:
    codes, login = "yes" if user.get("totp") else "no", user.get("last_login")
    return (
        user["name"],
        user["role"],
        user["state"],
        codes,
        to_second(login) if login else "never",
        to_second(user["created"]),
    )


@app.command()
@on_stack()
def role(
    invocation: Invocation,
    name: Name,
    new: Annotated[str, typer.Argument(metavar="|".join(ROLES))],
) -> int:
    """Give a user another role, at once."""
    require_role(new)
    return _change(invocation, "role", name, f"{name} is {_a(new)} now", {"role": new})


@app.command()
@on_stack()
def disable(invocation: Invocation, name: Name) -> int:
    """Keep a user out; all sessions end at once.

    What that person did keeps the name. The last active admin cannot be disabled.
    """
    return _change(invocation, "disable", name, f"{name} cannot log in any more", {"disabled": True})


@app.command()
@on_stack()
def enable(invocation: Invocation, name: Name) -> int:
    """Let a disabled user in again, with the same password."""
    invited = f"{name} is enabled, and has no password yet: pneumoctl users reset {name} makes a new link"
    return _change(invocation, "enable", name, f"{name} can log in again", {"disabled": False}, invited)


def _change(
    invocation: Invocation, verb: str, name: str, said: str, changes: Mapping[str, Any], invited: str = ""
) -> int:
    """Change a user, and say that it was done. `invited`: what to say of one who has set no password."""
    user = checked_name(name)
    options = {"name": user} | ({"role": changes["role"]} if "role" in changes else {})
    with opened(invocation) as accounts, audit.recorded(invocation.stack, f"users {verb}", options) as act:
        act.begin()
        document = accounts.change(user, **changes)
        act.changed = [f"user {user}: {verb}" + (f" {changes['role']}" if "role" in changes else "")]
    console.result({"stack": invocation.stack.name, "user": document})
    console.text(invited if invited and document.get("state") == "invited" else said)
    return 0


@app.command()
@on_stack()
def reset(invocation: Invocation, name: Name, yes: Yes = False) -> int:
    """Show a new link for a user to set a password.

    The password, the one-time codes, the sessions and an earlier link of that user end at once.
    """
    user = checked_name(name)
    if not yes and not console.ask(f"End the password and all sessions of {user}?"):
        raise PneumoError("cancelled: nothing was changed", "answer y, or give --yes")
    with opened(invocation) as accounts, audit.recorded(invocation.stack, "users reset", {"name": user}) as act:
        act.begin()
        made = {"name": user, "link": accounts.reset(user)}
        act.changed = [f"user {user}: reset"]
    _show_link(invocation, made, f"the password and all sessions of {user} have ended")
    return 0


@contextmanager
def opened(invocation: Invocation) -> Iterator[Accounts]:
    """The accounts of the stack. Raises PneumoError (usage) if nobody logs in to its page."""
    if invocation.settings.login == "none":
        message = f"everybody who reaches the web page of {invocation.stack.name} may use it: the setting auth is none"
        raise PneumoError(message, 'set auth = "users", then: pneumoctl up', Exit.USAGE)
    with target(*invocation).api() as endpoint:
        yield Accounts(ApiClient.of(endpoint))


def _show_link(invocation: Invocation, made: Mapping[str, Any], said: str) -> None:
    page = target(*invocation).page()
    link = links.document(page, made["link"])
    user = {name: value for name, value in made.items() if name != "link"}
    console.result({"stack": invocation.stack.name, "user": user, "link": link})
    for line in (said, *links.lines(page, made["name"], made["link"])):
        console.text(line)


def _a(role: str) -> str:
    return f"{'an' if role == 'admin' else 'a'} {role}"
