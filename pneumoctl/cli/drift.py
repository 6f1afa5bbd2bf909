"""`pneumoctl drift`: show what was changed in AWS and on the hosts since the last `up`."""

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.errors import Exit
from pneumoctl.targets.aws.inspection.drift import compare
from pneumoctl.terminal.console import console


@on_stack(alarm=False)
def drift(invocation: Invocation) -> int:
    """Show what differs from what `up` made (aws).

    Asks AWS about every resource, and the hosts about every file, unit, package and release. Changes nothing.

    Exit codes: 3 something differs, and `up` repairs it; 1 a host could not be asked.
    """
    settings, stack = invocation
    stack.require_aws("its plan shows what differs", "pneumoctl plan")
    rows, differences = compare(settings, stack)
    if rows:
        console.table(("", "resource", "what"), [(row.what, row.where, row.detail) for row in rows])
        for line in differences:
            console.text(line)
        console.text("next: pneumoctl up")
    else:
        console.text("no drift: AWS and the hosts are as `up` left them")
    documents = [{"what": row.what, "address": row.where, "detail": row.detail} for row in rows]
    console.result({"stack": settings.stack, "drift": documents, "differences": differences})
    if any(row.what == "unknown" for row in rows):
        return Exit.FAILED
    return Exit.CHANGES if rows else Exit.DONE
