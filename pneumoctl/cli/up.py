"""`pneumoctl up`: check, show the plan, ask, apply it, and prove with a real prediction that the stack serves."""

from typing import Annotated

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.cli.options import DryRun, Yes
from pneumoctl.targets.dispatch import target
from pneumoctl.terminal.console import console


@on_stack("target", "offline_bundle")
def up(
    invocation: Invocation,
    yes: Yes = False,
    lose_results: Annotated[
        bool, typer.Option("--lose-results", help="Replace the host of the store without a copy of its results (aws).")
    ] = False,
    dry_run: DryRun = False,
) -> int:
    """Bring the stack up and prove that it serves.

    Checks what is needed, shows the plan, asks, carries it out, and has a picture scored through the web page. Safe to
    repeat: only what is missing is done. A host that stores results is not replaced unless an export or a
    backup holds them all.

    Exit codes: 4 a check failed; 5 another pneumoctl works on the stack; 10 the health gate failed.
    """
    return console.report(target(*invocation).up(yes, dry_run, lose_results))
