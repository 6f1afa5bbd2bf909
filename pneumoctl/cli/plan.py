"""`pneumoctl plan`: what `up` would do, as steps and as differences of files; changes nothing."""

from typing import Annotated

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.errors import Exit
from pneumoctl.plan.steps import describe
from pneumoctl.targets.aws import plan as aws
from pneumoctl.targets.local.plan import differences, prepare
from pneumoctl.terminal.console import console


@on_stack("target")
def plan(
    invocation: Invocation,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 3 when there are changes.")] = False,
) -> int:
    """Show what `up` would change.

    Steps, and the differences of every file; secret contents are not shown. Changes nothing.
    """
    settings, stack = invocation
    if settings.target == "aws":
        return aws.plan(settings, stack, exit_code)
    prepared = prepare(settings, stack)
    todo = prepared.changes()
    changed = differences(prepared)
    for line in describe(prepared.plan, lambda step: step in todo) if todo else ["nothing to do"]:
        console.text(line)
    for line in changed:
        console.text(line)
    console.text("price: nothing, the stack runs on this machine")
    console.result(
        {
            "stack": settings.stack,
            "target": settings.target,
            "changes": [{"step": step.title, "hosts": list(step.hosts)} for step in todo],
            "differences": changed,
            "usd_per_hour": 0.0,
            "usd_per_month": 0.0,
        }
    )
    return Exit.CHANGES if todo and exit_code else Exit.DONE
