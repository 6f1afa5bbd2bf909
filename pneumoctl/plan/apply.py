"""Show a plan, ask for confirmation and carry it out, for all commands that change a local stack."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.plan.executor import Event, HostAccess, execute, pending
from pneumoctl.plan.steps import Plan, Step, describe
from pneumoctl.plan.transport import Output
from pneumoctl.stack.journal import Journal
from pneumoctl.terminal.console import console


@dataclass(frozen=True)
class Applied:
    """The result of applying a plan."""

    changed: tuple[str, ...]  # titles of the steps that were done
    outputs: Mapping[str, Output]  # by step id


def changes(plan: Plan, hosts: Mapping[str, HostAccess]) -> list[Step]:
    """The steps of a plan that have something to do now."""
    return [step for step in plan.steps if not step.check and pending(step, hosts)]


def apply(
    plan: Plan,
    hosts: Mapping[str, HostAccess],
    journal: Journal,
    agreed: bool,
    before: Callable[[], None] = lambda: None,
    remarks: Callable[[Sequence[Step]], Sequence[str]] = lambda todo: (),
) -> Applied:
    """Show the pending steps and the `remarks` on them, ask unless `agreed`, call `before`, then do the steps."""
    todo = changes(plan, hosts)
    if todo:
        for line in (*describe(plan, lambda step: step in todo), *remarks(todo)):
            console.note(line)
        if not agreed and not console.ask("Continue?"):
            raise PneumoError("cancelled: nothing was changed", "answer y, or give --yes", Exit.FAILED)
    before()
    done: list[str] = []
    journal.write("begin")
    try:
        outputs = execute(plan, hosts, journal, _reporter(done), _just_found_done(plan, todo, agreed))
    except PneumoError as error:
        error.details["changed"] = list(done)
        raise
    journal.write("end", detail=f"{len(done)} steps")
    return Applied(tuple(done), outputs)


def _just_found_done(plan: Plan, todo: Sequence[Step], agreed: bool) -> list[Step]:
    """The steps before the first that changes something; none if a person was asked meanwhile, which takes time."""
    if todo and not agreed:
        return []
    return list(takewhile(lambda step: step not in todo, (step for step in plan.steps if not step.check)))


def _reporter(done: list[str]) -> Callable[[Event, Step], None]:
    """Draws the executor's events and appends the titles of the steps that changed something to `done`."""
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
