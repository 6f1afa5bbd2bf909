"""`pneumoctl logs`: the last lines of a service's log, or of all."""

from typing import Annotated

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import orphans
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


@on_stack()
def logs(
    invocation: Invocation,
    service: Service = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many lines of each.")] = 40,
) -> int:
    """Show the logs of the services.

    On aws a service's lines come from all hosts that run it, in the order of their times; `pneumoctl` is what was done
    on the hosts. -f goes on until Ctrl-C, through lost links.
    """
    settings, stack = invocation
    if settings.target == "aws" and service != "terraform":
        orphans.mind(stack)
        return aws.logs(stack, service, lines, follow)
    folder = stack.layout.logs
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
    if follow and not console.json_mode:
        _follow(chosen)
    return 0
