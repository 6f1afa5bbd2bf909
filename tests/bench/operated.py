"""Actions of the operator in bench_configure besides pneumoctl's commands; run inside the lab.

`provision`: as `pneumoctl up -y`, but the hosts stay as they booted. `todo`: what `configure` would do on each host, as
JSON. `left`: what is still to do there, were it not for the marks that pneumoctl alone leaves.
"""

import json
import os
import sys
from dataclasses import asdict, replace
from typing import Any

from pneumoctl.cli.main import run
from pneumoctl.hosts import configure
from pneumoctl.hosts.layout import STAMPS
from pneumoctl.plan import rollout
from pneumoctl.plan.steps import Action, Copy, Plan, Step
from pneumoctl.ssh import hosts
from pneumoctl.stack import settings as settings_
from pneumoctl.stack.stack import resolve
from pneumoctl.targets.aws.configuration import change, desired


def provision() -> int:
    """Up to hosts that booted and whose keys are pinned."""
    change.change = lambda *_, **__: {"stack": "", "changed": [], "prediction": None}
    return run(["up", "-y"])


def todo(marks: bool) -> dict[str, list[Step]]:
    """The steps with something to do, by host."""
    settings, stack = resolve(settings_.load({}, None, os.environ))
    with hosts.opened(stack, change=False) as opened:
        links = desired.current_links(opened)
        plan = configure.plan(
            desired.desired_state(
                stack,
                settings,
                opened.inventory,
                desired.ReleaseChoice(desired.available_releases(settings), links, ()),
            )
        )
        return rollout.pending(plan if marks else _unmarked(plan), opened.step_runners())


def _unmarked(plan: Plan) -> Plan:
    def step(original: Step) -> Step:
        probes = tuple(run for run in original.done_if if run.argv[0] != "grep" or not run.argv[-1].startswith(STAMPS))
        return replace(original, done_if=probes)

    return replace(plan, steps=tuple(map(step, plan.steps)))


def _document(step: Step) -> dict[str, Any]:
    return {"title": step.title, "actions": [_action(action) for action in step.actions]}


def _action(action: Action) -> dict[str, Any]:
    tree = {"tree": action.tree._asdict()} if isinstance(action, Copy) else {}
    return {"do": type(action).__name__, **asdict(action), **tree}


def main(word: str) -> int:
    """Do it."""
    if word == "provision":
        return provision()
    document = todo(marks=word == "todo")
    print(json.dumps({host: [_document(step) for step in steps] for host, steps in document.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
