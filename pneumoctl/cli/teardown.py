"""`pneumoctl teardown`: results out, everything ended, proof that nothing remains."""

from typing import Annotated

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.cli.options import DryRun, Yes
from pneumoctl.plan.apply import changes
from pneumoctl.plan.steps import describe
from pneumoctl.stack import audit
from pneumoctl.targets.aws import teardown as aws
from pneumoctl.targets.local import teardown_plan as plans
from pneumoctl.targets.local.teardown import _act, prepare
from pneumoctl.terminal.console import console


@on_stack("target")
def teardown(
    invocation: Invocation,
    purge: Annotated[bool, typer.Option("--purge", help="Do not export results and models first.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> int:
    """End the stack and prove that nothing remains.

    Results and model bundles are exported first, unless --purge. Safe to repeat.
    """
    settings, stack = invocation
    if settings.target == "aws":
        return aws.teardown(settings, stack, purge, yes, dry_run)
    with stack.locked("teardown"), audit.kept(stack, "teardown", {"purge": purge, "yes": yes}) as act:
        wishes, hosts = prepare(stack, purge)
        if not dry_run:
            return _act(stack, wishes, hosts, yes, act)
        plan = plans.plan(wishes)
        todo = changes(plan, hosts)
        for line in describe(plan, lambda step: step in todo):
            console.text(line)
        console.result({"stack": stack.name, "changes": [step.title for step in todo]})
        return 0
