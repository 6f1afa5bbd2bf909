"""`pneumoctl doctor`: run the preflight checks and show a fix for each failure."""

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.errors import Exit
from pneumoctl.targets.common import checks
from pneumoctl.targets.dispatch import target
from pneumoctl.terminal.console import console


@on_stack("target")
def doctor(invocation: Invocation) -> int:
    """Check this machine and the account, with a fix for each fault.

    Changes nothing. Exit code 4 if a check fails.
    """
    settings, stack = invocation
    rows = target(settings, stack).checks()
    good = all(row.good for row in rows)
    console.table(
        ("", "check", "seen", "fix"),
        [("ok" if row.good else "FAIL", row.check, row.seen, "" if row.good else row.fix) for row in rows],
        ["" if row.good else "bold red" for row in rows],
    )
    console.result({"stack": settings.stack, "good": good, "checks": checks.as_dicts(rows)})
    return Exit.DONE if good else Exit.PREFLIGHT
