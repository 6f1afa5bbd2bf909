"""`pneumoctl configure`: bring the hosts to the desired state of their roles; the deployed releases stay the same."""

from typing import Annotated

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.cli.options import Yes
from pneumoctl.errors import Exit
from pneumoctl.ssh import openssh
from pneumoctl.stack import audit
from pneumoctl.targets.aws.configuration import change, preview
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import Report

Hosts = Annotated[list[str] | None, typer.Argument(help="Names of hosts (default: all).", metavar="[HOST]...")]


@on_stack("offline_bundle")
def configure(
    invocation: Invocation,
    host: Hosts = None,
    diff: Annotated[bool, typer.Option("--diff", "--dry-run", help="Show the differences and stop.")] = False,
    yes: Yes = False,
) -> int:
    """Bring the hosts to their desired state (aws).

    Works on all hosts at the same time; a failure on one does not stop the others. Safe to repeat: only what differs is
    changed.

    Exit codes: 5 another pneumoctl works on the stack; 6 a host failed, and is named; 10 a health gate failed: a
    service that did not become ready has its earlier configuration again.
    """
    settings, stack = invocation
    stack.require_aws("`up` brings it to its desired state", "pneumoctl up")
    chosen = [openssh.choose(openssh.inventory(stack), name).name for name in host or ()]
    task = change.Task(" ".join(("configure", *chosen)), update=(), hosts=chosen, prove=not chosen)
    if diff:
        shown = preview.preview(settings, stack, task)
        code = Exit.FAILED if shown.unknown else Exit.DONE
        return console.report(Report({"stack": stack.name, **shown.document()}, shown.lines, code))
    with stack.locked("configure"), audit.recorded(stack, "configure", {"yes": yes, "hosts": " ".join(chosen)}) as act:
        document = change.change(settings, stack, task, yes, act)
    return console.report(Report(document, change.lines(document, "the hosts are in their desired state")))
