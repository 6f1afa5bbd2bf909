"""`pneumoctl logs`: the last lines of the log of one service, or of all services."""

from typing import Annotated

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.errors import Exit
from pneumoctl.targets.dispatch import target

Service = Annotated[
    str | None,
    typer.Argument(
        help="redis, api, ui, pneumoctl; local: dicom, supervisord; aws: nginx, prometheus, terraform, or a host.",
        metavar="[SERVICE|HOST]",
    ),
]


@on_stack()
def logs(
    invocation: Invocation,
    service: Service = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show new lines until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", metavar="N", min=1, help="Number of lines of each log.")] = 40,
) -> int:
    """Show the logs of the services.

    On aws, the lines of a service come from all hosts that run it, ordered by time. The log `pneumoctl` holds what
    pneumoctl did on the hosts. --follow continues after a lost connection.
    """
    if not invocation.stack.target:
        raise invocation.stack.missing()
    try:
        return target(*invocation).logs(service, lines, follow)
    except KeyboardInterrupt:
        if not follow:
            raise
        return Exit.INTERRUPTED
