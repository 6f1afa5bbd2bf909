"""`pneumoctl status`: which processes run, which services answer, and which model they serve."""

import time
from collections.abc import Iterator
from typing import Annotated

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.targets.dispatch import target
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import Report

PAUSE_S = 2.0  # seconds between two reports of --watch


@on_stack("target", alarm=False)
def status(
    invocation: Invocation,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat every two seconds until Ctrl-C.")] = False,
) -> int:
    """Show what runs, what answers and what it serves.

    Asks the processes and the services themselves, also whether they are ready and uploads can be stored, the disks and
    the certificate. Each fault is shown with the next command.

    Exit code 1 unless all is well, 7 if a GPU host runs without a lease, or if AWS does not say whether it is on.
    """
    if watch and console.json_mode:
        raise PneumoError("--watch cannot be combined with --json", "pneumoctl status --json", Exit.USAGE)
    try:
        return _show(target(*invocation).status(), watch)
    except KeyboardInterrupt:
        if not watch:
            raise
        return Exit.INTERRUPTED


def _show(reports: Iterator[Report], watch: bool) -> int:
    for report in reports:
        if watch:
            console.clear()
        code = console.report(report)
        if not watch:
            return code
        console.flush()
        time.sleep(PAUSE_S)
    return Exit.DONE
