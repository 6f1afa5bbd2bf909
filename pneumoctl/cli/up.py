"""`pneumoctl up`: preflight, plan, ask, act, and the proof by a real prediction."""

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.cli.options import DryRun, Yes
from pneumoctl.targets.dispatch import target
from pneumoctl.terminal.console import console


@on_stack("target", "offline_bundle")
def up(invocation: Invocation, yes: Yes = False, dry_run: DryRun = False) -> int:
    """Bring the stack up and prove that it serves.

    Preflight, plan, question, then Redis, API and web page under a supervisor, and a real prediction through the
    page. Safe to repeat: it does what is missing. Exit 4: preflight; 5: locked; 10: the health gate failed.
    """
    return console.report(target(*invocation).up(yes, dry_run))
