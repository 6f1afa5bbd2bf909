"""Prepare the plan of `up` on this machine, and what it would change."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from pneumoctl.errors import Exit
from pneumoctl.plan.apply import changes
from pneumoctl.plan.differences import difference, planned_files
from pneumoctl.plan.executor import HostAccess
from pneumoctl.plan.steps import Plan, Step, describe
from pneumoctl.results import expiring
from pneumoctl.results.transfer import ResultStore
from pneumoctl.stack.saved import Ports
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.common import checks
from pneumoctl.targets.local import facts, port_reservation, preflight, results, up_plan
from pneumoctl.targets.local.desired import LocalDesiredState
from pneumoctl.targets.local.reach import reach
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import Report

LOGIN_BEGINS = (
    "people must log in to the web page (auth is users): `up` makes the first admin, unless there are users already, "
    "and prints a link for them; then: pneumoctl users add NAME --role reviewer"
)


@dataclass(frozen=True)
class Prepared:
    """The plan of `up`, the facts that it was made from, and its hosts."""

    stack: Stack
    desired: LocalDesiredState
    ports: Ports
    plan: Plan
    hosts: Mapping[str, HostAccess]

    def changes(self) -> list[Step]:
        """The steps that have something to do now."""
        return changes(self.plan, self.hosts)

    def lines(self, todo: Sequence[Step]) -> list[str]:
        """Those steps as text."""
        return self.with_erased(todo, self.erased(todo))

    def with_erased(self, todo: Sequence[Step], erased: Sequence[str]) -> list[str]:
        """Those steps as text, with what `erased` has said of them."""
        steps = describe(self.plan, lambda step: step in todo)
        return [*steps, *erased, *self.logins()] if todo else ["nothing to do"]

    def remarks(self, todo: Sequence[Step]) -> list[str]:
        """What a person should know of those steps, beside their files and commands."""
        return [*self.erased(todo), *self.logins()]

    def logins(self) -> list[str]:
        """A line if the page asks for a login now and will not any more, or the other way round."""
        environment = self.stack.layout.config("env/ui.env")
        asks = environment.exists() and "AUTH=users" in environment.read_text().splitlines()
        if asks == (self.desired.settings.login == "users"):
            return []
        if not asks:
            return [LOGIN_BEGINS]
        return ["the web page asks for no login any more (auth is none): everybody who reaches it may do everything"]

    def erased(self, todo: Sequence[Step]) -> list[str]:
        """A line on the results that those steps make the API erase; none if it erases nothing."""
        if not self.stack.layout.config("env/api.env").exists():  # nothing was ever stored
            return []
        return expiring.lines(
            self.desired.settings, todo, lambda: nullcontext[ResultStore](results.running_store(self.stack))
        )


def prepare(settings: Settings, stack: Stack) -> Prepared:
    """Run the preflight checks and make the plan for a stack; print a note if a port is replaced. Changes nothing."""
    checks.require(preflight.rows(settings, stack))
    ports, others = facts.ports(settings, stack), port_reservation.of_others(stack)
    for name, port in ports.assigned.items():
        saved = stack.ports()
        if port != ports.requested[name] and not (saved and saved.assigned[name] == port):
            requested = ports.requested[name]
            holder = f"stack {others[requested]}" if requested in others else "another program"
            console.note(f"port {requested} is taken by {holder}: {name} uses {port}", "yellow")
    desired = facts.desired_state(settings, stack, stack.secrets() or Secrets.generate(), ports)
    return Prepared(stack, desired, ports, up_plan.plan(desired), reach(stack, desired.inventory))


def report(settings: Settings, stack: Stack) -> Report:
    """The steps that `up` would do, and the differences of every file."""
    prepared = prepare(settings, stack)
    todo = prepared.changes()
    changed, erased = differences(prepared, todo), prepared.erased(todo)  # the store is read once
    document = {
        "stack": stack.name,
        "target": settings.target,
        "erased": erased,
        "changes": [{"step": step.title, "hosts": list(step.hosts)} for step in todo],
        "differences": changed,
        "usd_per_hour": 0.0,
        "usd_per_month": 0.0,
    }
    blocks = (*prepared.with_erased(todo, erased), *changed, "price: nothing, the stack runs on this machine")
    return Report(document, blocks, Exit.CHANGES if todo else Exit.DONE)


def differences(prepared: Prepared, todo: Sequence[Step]) -> list[str]:
    """Unified diffs between the files on the hosts and the desired ones; secret contents are not shown."""
    lines: list[str] = []
    for step in todo:
        host = prepared.hosts[step.hosts[0]].transport
        for put in planned_files((step,)):
            current = host.read(put.path)
            text = None if current is None else current.decode(errors="replace")
            lines += difference(put.path, put, text)
    return lines
