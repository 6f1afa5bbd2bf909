"""`pneumoctl logs`: the last lines of a service's log, or of all."""

from typing import Annotated

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.targets.dispatch import target

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
    return target(*invocation).logs(service, lines, follow)
