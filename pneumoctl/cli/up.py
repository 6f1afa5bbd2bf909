"""`pneumoctl up`: preflight, plan, ask, act, and the proof by a real prediction."""

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.cli.options import DryRun, Yes
from pneumoctl.stack import audit
from pneumoctl.targets.aws import up as aws
from pneumoctl.targets.local.plan import prepare
from pneumoctl.targets.local.up import _act, _show


@on_stack("target", "offline_bundle")
def up(invocation: Invocation, yes: Yes = False, dry_run: DryRun = False) -> int:
    """Bring the stack up and prove that it serves.

    Preflight, plan, question, then Redis, API and web page under a supervisor, and a real prediction through the
    page. Safe to repeat: it does what is missing. Exit 4: preflight; 5: locked; 10: the health gate failed.
    """
    settings, stack = invocation
    if settings.target == "aws":
        return aws.up(settings, stack, yes, dry_run)
    if dry_run:
        return _show(prepare(settings, stack))
    with stack.locked("up"), audit.kept(stack, "up", {"yes": yes}) as act:
        return _act(prepare(settings, stack), yes, act)
