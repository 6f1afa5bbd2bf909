"""Show a plan, ask, execute: the same for every command that changes something."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pneumoctl import supervisor
from pneumoctl.console import console
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.execute import Event, Reached, execute, pending
from pneumoctl.inventory import Inventory
from pneumoctl.journal import Journal
from pneumoctl.plan import Plan, Step, describe
from pneumoctl.stack import Stack
from pneumoctl.transport import LocalTransport, Output


@dataclass(frozen=True)
class Applied:
    """What an application did."""

    changed: tuple[str, ...]  # titles of the steps that were done
    outputs: Mapping[str, Output]


def reach(stack: Stack, inventory: Inventory) -> dict[str, Reached]:
    """How each host of the inventory is acted on."""
    local = Reached(LocalTransport(), lambda action: supervisor.argv(stack.directory, action))
    return {host.name: local for host in inventory.hosts}


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


class _Masked(logging.Formatter):
    """Formats a record with every secret blotted out."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        super().__init__("%(asctime)s %(message)s")
        self.secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def log_to(stack: Stack, secrets: tuple[str, ...]) -> None:
    """Write every command and its result to the stack's own log, 0600, secrets masked."""
    stack.layout.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = stack.layout.logs / "pneumoctl.log"
    path.touch(mode=0o600)
    handler = logging.FileHandler(path)
    handler.setFormatter(_Masked(secrets))
    logger = logging.getLogger("pneumoctl")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
