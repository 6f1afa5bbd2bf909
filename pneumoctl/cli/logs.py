"""`pneumoctl logs`: the last lines of a service's log, or of all."""

import os
from typing import Annotated

import typer

from pneumoctl.cli.options import Config, Json, NoColor, Quiet, StackName
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import orphans
from pneumoctl.stack import settings as settings_
from pneumoctl.stack.stack import choose
from pneumoctl.targets.aws import logs as aws
from pneumoctl.targets.local.logs import _follow, tail
from pneumoctl.terminal.console import console

Service = Annotated[
    str | None,
    typer.Argument(
        help="redis, api, ui, pneumoctl; here also supervisord; on aws also nginx, prometheus, terraform, or a host.",
        metavar="[SERVICE|HOST]",
    ),
]


def logs(
    service: Service = None,
    stack: StackName = None,
    config: Config = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many lines of each.")] = 40,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> int:
    """Show what the services have logged; all of them if none is named.

    On aws a service's lines come from all hosts that run it, in the order of their times; `pneumoctl` is what was done
    on the hosts. -f goes on until Ctrl-C, through lost links.
    """
    settings, place = choose(settings_.load({"stack": stack}, config, os.environ))
    if settings.target == "aws" and service != "terraform":
        orphans.mind(place)
        return aws.logs(place, service, lines, follow)
    folder = place.layout.logs
    files = {file.stem: file for file in sorted(folder.glob("*.log"))}
    if service is not None and service not in files:
        known = ", ".join(files) or "none yet"
        raise PneumoError(f"there is no log of {service!r}; there are: {known}", "pneumoctl status", Exit.USAGE)
    chosen = {service: files[service]} if service else files
    shown = {name: tail(file, lines) for name, file in chosen.items()}
    console.result({"stack": settings.stack, "logs": shown})
    for name, last in shown.items():
        for line in last:
            console.text(f"{name:12} {line}")
    if follow and not json:
        _follow(chosen)
    return 0
