"""`pneumoctl status`: the truth of the processes: what runs, what answers, what it serves."""

import os
import time
from typing import Annotated

import typer

from pneumoctl.cli.options import Config, Json, NoColor, Quiet, StackName, Target
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import settings as settings_
from pneumoctl.stack.stack import choose
from pneumoctl.targets.aws import status as aws
from pneumoctl.targets.local.status import _show, look
from pneumoctl.terminal.console import console


def status(
    stack: StackName = None,
    config: Config = None,
    target: Target = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show again every two seconds until interrupted.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> int:
    """Show what runs and what answers.

    Asks the processes and the services, never a file. Exit 1 unless all of them serve.
    """
    settings, place = choose(settings_.load({"stack": stack, "target": target}, config, os.environ))
    if watch and json:
        raise PneumoError("--watch and --json exclude each other", "pneumoctl status --json", Exit.USAGE)
    if settings.target == "aws":
        return aws.status(settings, place, watch)
    while True:
        document = look(place)
        if watch:
            console.clear()
        code = _show(document)
        if not watch:
            return code
        time.sleep(2)
