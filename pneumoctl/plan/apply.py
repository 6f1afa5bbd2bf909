"""Show a plan, ask, execute: the same for every command that changes something."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.plan.executor import Event, Reached, execute, pending
from pneumoctl.plan.steps import Plan, Step, describe
from pneumoctl.plan.transport import Output
from pneumoctl.stack.journal import Journal
from pneumoctl.terminal.console import console


@dataclass(frozen=True)
class Applied:
    """What an application did."""

    changed: tuple[str, ...]  # titles of the steps that were done
    outputs: Mapping[str, Output]


def changes(plan: Plan, hosts: Mapping[str, Reached]) -> list[Step]:
    """The steps of a plan that have something to do now."""
    return [step for step in plan.steps if not step.check and pending(step, hosts)]


def apply(
    plan: Plan,
    hosts: Mapping[str, Reached],
    journal: Journal,
    agreed: bool,
    before: Callable[[], None] = lambda: None,
) -> Applied:
    """Show what is pending, ask unless `agreed`, then do it. `before` runs after the yes, before the first step."""
    todo = changes(plan, hosts)
    if todo:
        for line in describe(plan, lambda step: step in todo):
            console.note(line)
        if not agreed and not console.ask("Go on?"):
            raise PneumoError("not agreed: nothing was changed", "answer y, or give --yes", Exit.FAILED)
    before()
    done: list[str] = []
    journal.write("begin")
    try:
        outputs = execute(plan, hosts, journal, _reporter(done))
    except PneumoError as error:
        error.details["changed"] = list(done)
        raise
    journal.write("end", detail=f"{len(done)} steps")
    return Applied(tuple(done), outputs)


def _reporter(done: list[str]) -> Callable[[Event, Step], None]:
    """Draws the executor's events, and keeps the titles of the steps that changed something."""
    begun = 0.0

    def report(event: Event, step: Step) -> None:
        nonlocal begun
        if event == "start":
            begun = time.monotonic()
            console.busy(step.title)
            return
        console.idle()
        if event == "done":
            console.note(f"  ✓ {step.title} ({time.monotonic() - begun:.1f} s)", "green")
            done.extend([] if step.check else [step.title])
        elif event == "fail":
            console.note(f"  ✗ {step.title}", "red")

    return report
