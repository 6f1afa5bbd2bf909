"""`pneumoctl status`: the truth of the processes: what runs, what answers, what it serves."""

import time
from typing import Annotated

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.targets.aws import status as aws
from pneumoctl.targets.local.status import _show, look
from pneumoctl.terminal.console import console


@on_stack("target")
def status(
    invocation: Invocation,
    watch: Annotated[bool, typer.Option("--watch", help="Show again every two seconds until interrupted.")] = False,
) -> int:
    """Show what runs, what answers and what it serves.

    Asks the processes and the services, never a file. Exit 1 unless all of them serve.
    """
    settings, stack = invocation
    if watch and console.json_mode:
        raise PneumoError("--watch and --json exclude each other", "pneumoctl status --json", Exit.USAGE)
    if settings.target == "aws":
        return aws.status(settings, stack, watch)
    while True:
        document = look(stack)
        if watch:
            console.clear()
        code = _show(document)
        if not watch:
            return code
        time.sleep(2)
