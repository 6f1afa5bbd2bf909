"""`pneumoctl plan`: show the steps of `up` and the differences of files; changes nothing."""

from typing import Annotated

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.errors import Exit
from pneumoctl.targets.dispatch import target
from pneumoctl.terminal.console import console


@on_stack("target", alarm=False)
def plan(
    invocation: Invocation,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with code 3 if there are changes, 1 if a host could not be asked.")
    ] = False,
) -> int:
    """Show what `up` would change.

    Shows the steps and the differences of every file, without secret contents. Changes nothing.
    """
    report = target(*invocation).plan()
    code = console.report(report)
    return code if exit_code else Exit.DONE
