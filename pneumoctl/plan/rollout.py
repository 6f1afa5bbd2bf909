"""Carry a plan out on many hosts at once: each walks its own steps, waits where a step needs another's, fails alone."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.plan.steps import Plan, Step
from pneumoctl.plan.transport import Output
from pneumoctl.stack.journal import Journal


class Place(Protocol):
    """Where steps are done: a host, or the operator's machine."""

    def pending(self, steps: Sequence[Step]) -> list[bool]:
        """Which of them have something to do; changes nothing."""

    def act(self, step: Step) -> tuple[str, Output]:
        """Do a step: "done", "skip" or "failed", and what its last command said. May raise PneumoError."""


@dataclass(frozen=True)
class Failure:
    """A step that was not done on a host, and why."""

    host: str
    step: Step
    error: PneumoError


@dataclass
class Result:
    """What came of a plan."""

    done: list[tuple[str, Step]] = field(default_factory=list)  # (host, step), no checks
    outputs: dict[str, Output] = field(default_factory=dict)  # of each step's last command, by title
    failures: list[Failure] = field(default_factory=list)
    untried: list[tuple[str, Step]] = field(default_factory=list)  # behind a failure


REACH = Step("Reach the host", (), ())
Report = Callable[[str, str, Step, str], None]  # event (start, done, fail), host, step, detail


def pending(plan: Plan, places: Mapping[str, Place]) -> dict[str, list[Step]]:
    """The steps with something to do, by host, checks left out; hosts are asked in parallel.

    Raises the first host's PneumoError in the order of the plan's hosts.
    """
    mine = {name: [step for step in plan.steps if name in step.hosts and not step.check] for name in places}
    with ThreadPoolExecutor(max(1, len(mine))) as pool:
        asked = {name: pool.submit(places[name].pending, steps) for name, steps in mine.items() if steps}
        found = {name: list(zip(mine[name], one.result(), strict=True)) for name, one in asked.items()}
    titles = {step.title for steps in found.values() for step, has in steps if has and not step.sake}

    def wanted(step: Step, has: bool) -> bool:
        return bool(titles & set(step.sake) or (has and step.unless)) if step.sake else has

    return {name: [step for step, has in steps if wanted(step, has)] for name, steps in found.items()}


def roll_out(
    plan: Plan, places: Mapping[str, Place], todo: Mapping[str, Sequence[Step]], journal: Journal, report: Report
) -> Result:
    """Do the steps in `todo` and all checks, each host for itself; a failure ends that host and what waits for it."""
    run = _Run(plan, places, todo, journal, report)
    names = [name for name in places if any(name in step.hosts for step in plan.steps)]
    threads = [threading.Thread(target=run.host, args=(name,), daemon=True) for name in names]
    for thread in threads:  # daemons: Ctrl-C waits for no host; what was begun there ends there
        thread.start()
    for thread in threads:
        while thread.is_alive():  # a plain join() would keep Ctrl-C from us
            thread.join(0.2)
    return run.result


class _Run:
    """The state that the hosts' threads share."""

    def __init__(
        self,
        plan: Plan,
        places: Mapping[str, Place],
        todo: Mapping[str, Sequence[Step]],
        journal: Journal,
        report: Report,
    ) -> None:
        self.plan, self.places, self.todo, self.journal, self.report = plan, places, todo, journal, report
        self.result = Result()
        self.changed = threading.Condition()
        self.open = {(name, step.title) for step in plan.steps for name in step.hosts}
        self.failed: set[str] = set()  # titles of steps that a host failed at or did not come to

    def host(self, name: str) -> None:
        """Walk the steps of one host."""
        lost = False
        for step in self.plan.steps:
            if name not in step.hosts:
                continue
            if lost or not self._ready(step):
                self._skip(name, step)
                continue
            if step.check or step in self.todo.get(name, ()):
                lost = not self._do(name, step) or lost
            self._close(name, step)

    def _ready(self, step: Step) -> bool:
        """Wait until the steps before this one ended on all hosts; whether those that must be were done."""
        with self.changed:
            self.changed.wait_for(
                lambda: (
                    bool(self.failed & set(step.after))
                    or not any(title in (*step.after, *step.behind) for _, title in self.open)
                )
            )
            return not self.failed & set(step.after)

    def _do(self, name: str, step: Step) -> bool:
        self.journal.write("start", step.title, name)
        self.report("start", name, step, "")
        try:
            state, output = self.places[name].act(step)
            error = PneumoError(output.stderr.strip(), code=Exit.GATE_FAILED if step.gate else Exit.FAILED)
        except PneumoError as lost:
            state, output, error = "failed", Output(1, "", ""), lost
        except Exception as bug:
            state, output, error = "failed", Output(1, "", ""), PneumoError(f"{type(bug).__name__}: {bug}")
        good = state != "failed"
        self.journal.write("done" if good else "fail", step.title, name, "" if good else error.message)
        self.report("done" if good else "fail", name, step, "" if good else error.message)
        with self.changed:
            if not good:
                self.failed.add(step.title)
                self.result.failures.append(Failure(name, step, error))
            else:
                self.result.outputs[step.title] = output
                if state == "done" and not step.check:
                    self.result.done.append((name, step))
        return good

    def _skip(self, name: str, step: Step) -> None:
        with self.changed:
            self.result.untried.append((name, step))
            self.failed.add(step.title)
        self._close(name, step)

    def _close(self, name: str, step: Step) -> None:
        with self.changed:
            self.open.discard((name, step.title))
            self.changed.notify_all()


def raise_for(result: Result, again: str) -> None:
    """PneumoError if anything failed: exit 6, or 10 for a health gate, 5 for a host that another has."""
    if not result.failures:
        return
    codes = {failure.error.code for failure in result.failures}
    code = next((one for one in (Exit.GATE_FAILED, Exit.LOCKED) if one in codes), Exit.PARTLY)
    told = [f"{failure.host}: “{failure.step.title}” failed: {failure.error.message}" for failure in result.failures]
    waiting = {name for name, _ in result.untried}
    untried = f"\nnot tried behind that: {len(result.untried)} steps on {', '.join(sorted(waiting))}" if waiting else ""
    hosts = sorted({failure.host for failure in result.failures} | waiting)
    failed = [
        {"host": failure.host, "step": failure.step.title, "said": failure.error.message} for failure in result.failures
    ]
    raise PneumoError("\n".join(told) + untried, f"after mending the cause: {again}", code, failed=failed, hosts=hosts)
