"""`pneumoctl teardown`: results out, everything ended, proof that nothing remains."""

import os
from typing import Annotated

import typer

from pneumoctl.cli.options import Config, DryRun, Json, NoColor, Quiet, StackName, Target, Yes
from pneumoctl.plan.apply import changes
from pneumoctl.plan.steps import describe
from pneumoctl.stack import audit
from pneumoctl.stack import settings as settings_
from pneumoctl.stack.stack import choose
from pneumoctl.targets.aws import teardown as aws
from pneumoctl.targets.local import teardown_plan as plans
from pneumoctl.targets.local.teardown import _act, prepare
from pneumoctl.terminal.console import console


def teardown(
    stack: StackName = None,
    config: Config = None,
    target: Target = None,
    purge: Annotated[bool, typer.Option("--purge", help="Do not export results and models first.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> int:
    """End the stack; prove that nothing remains.

    Results and model bundles are exported first, unless --purge. Safe to repeat.
    """
    settings, place = choose(settings_.load({"stack": stack, "target": target}, config, os.environ))
    if settings.target == "aws":
        return aws.teardown(settings, place, purge, yes, dry_run)
    with place.locked("teardown"), audit.kept(place, "teardown", {"purge": purge, "yes": yes}) as act:
        wishes, hosts = prepare(place, purge)
        if not dry_run:
            return _act(place, wishes, hosts, yes, act)
        plan = plans.plan(wishes)
        todo = changes(plan, hosts)
        for line in describe(plan, lambda step: step in todo):
            console.text(line)
        console.result({"stack": place.name, "changes": [step.title for step in todo]})
        return 0
