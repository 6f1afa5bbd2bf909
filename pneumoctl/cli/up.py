"""`pneumoctl up`: check, show the plan, ask, apply it, and prove with a real prediction that the stack serves."""

from typing import Annotated

import typer

from pneumoctl.accounts import client as accounts
from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.cli.options import DryRun, Yes
from pneumoctl.targets.dispatch import target
from pneumoctl.terminal.console import console

Adopt = Annotated[
    bool,
    typer.Option(
        "--adopt",
        help="aws: take the stack over as it is in AWS; for a terraform state or secrets that are lost or older.",
    ),
]


@on_stack("target", "offline_bundle", alarm=False)
def up(
    invocation: Invocation,
    yes: Yes = False,
    lose_results: Annotated[
        bool, typer.Option("--lose-results", help="Replace the host of the store without a copy of its results (aws).")
    ] = False,
    adopt: Adopt = False,
    admin: Annotated[
        str, typer.Option("--admin", metavar="NAME", help="Name of the first admin; your login name if not given.")
    ] = "",
    dry_run: DryRun = False,
) -> int:
    """Bring the stack up and prove that it serves.

    Checks what is needed, shows the plan, asks, carries it out, and has a picture scored through the web page. Safe to
    repeat: only what is missing is done. A host that stores results is not replaced unless an export or a
    backup holds them all.

    If people log in to the page (on aws; on this machine with the setting auth) and there is no user, the first admin
    is made, and a link is shown with which that person sets a password.

    Exit codes: 4 a check failed; 5 another pneumoctl works on the stack; 10 the health gate failed.
    """
    name = accounts.checked_name(admin) if admin else ""
    return console.report(target(*invocation).up(yes, dry_run, adopt, lose_results, name))
