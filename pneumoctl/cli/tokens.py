"""`pneumoctl tokens`: the tokens with which client programs use the stack's API."""

from typing import Annotated

import typer

from pneumoctl.accounts.client import SCOPES, checked_name, checked_token_id, require_scopes
from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.cli.users import opened
from pneumoctl.errors import Exit
from pneumoctl.stack import audit
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import to_second

app = typer.Typer(name="tokens", help="Make, list and revoke the tokens of client programs.", rich_markup_mode=None)


@app.command()
@on_stack()
def add(
    invocation: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the program, as the trail of what it does shows it.")],
    scope: Annotated[
        list[str] | None, typer.Option("--scope", metavar="|".join(SCOPES), help="What it may do; may be repeated.")
    ] = None,
) -> int:
    """Make a token for a client program, and show it once.

    The API keeps only a digest of it. A request with a token of too narrow a scope is refused (403).
    """
    client, scopes = checked_name(name), require_scopes(scope or ())
    options = {"name": client, "scopes": " ".join(scopes)}
    with opened(invocation) as accounts, audit.recorded(invocation.stack, "tokens add", options) as act:
        act.begin()
        made = accounts.make_token(client, scopes)
        act.changed = [f"token {made['id']}: {client}"]
    console.result({"stack": invocation.stack.name, **made})
    console.text(f"token {made['id']} of {client} ({', '.join(scopes)}), not shown again:")
    console.text(f"  {made['token']}", verbatim=True)
    return 0


@app.command()
@on_stack()
def ls(invocation: Invocation) -> int:
    """List the tokens of all client programs, without their texts.

    Exit codes: 6 the record of a token is damaged: it is refused.
    """
    with opened(invocation) as accounts:
        tokens, damaged = accounts.tokens()
    console.result({"stack": invocation.stack.name, "tokens": tokens, "damaged": damaged})
    rows = [(token["id"], token["name"], " ".join(token["scopes"]), to_second(token["created"])) for token in tokens]
    console.table(("token", "program", "scopes", "made"), rows)
    if not tokens:
        console.text("there is no token; to make one: pneumoctl tokens add NAME --scope predict")
    if damaged:
        console.warn(f"damaged records, whose tokens are refused: {', '.join(damaged)}. Revoke them, and make new ones")
    return Exit.PARTLY if damaged else Exit.DONE


@app.command()
@on_stack()
def revoke(
    invocation: Invocation,
    identifier: Annotated[str, typer.Argument(metavar="TOKEN", help="The id of the token, as tokens ls shows it.")],
) -> int:
    """Revoke a token: it is refused from now on."""
    token = checked_token_id(identifier)
    with opened(invocation) as accounts, audit.recorded(invocation.stack, "tokens revoke", {"id": token}) as act:
        act.begin()
        accounts.revoke(token)
        act.changed = [f"token {token}: revoked"]
    console.result({"stack": invocation.stack.name, "revoked": token})
    console.text(f"token {token} is refused from now on")
    return 0
