"""Carry out a plan on many hosts in parallel: a host waits only for the steps it depends on, and fails alone."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from pneumoctl.errors import Exit, PneumoError, unexpected
from pneumoctl.plan.steps import Plan, Step
from pneumoctl.plan.transport import Output
from pneumoctl.stack.journal import Journal


class StepRunner(Protocol):
    """Carries out steps in one location: on a host, or on the operator's machine."""

    def pending(self, steps: Sequence[Step]) -> list[bool]:
        """Which of the steps have something to do; changes nothing."""

    def act(self, step: Step) -> tuple[str, Output]:
        """Carry out a step; returns "done", "skip" or "failed", and its last output. May raise PneumoError."""


@dataclass(frozen=True)
class Failure:
    """A step that failed on a host, and why."""

    host: str
    step: Step
    error: PneumoError


@dataclass
class Result:
    """The result of carrying out a plan."""

    done: list[tuple[str, Step]] = field(default_factory=list)  # (host, step), without checks
    outputs: dict[str, Output] = field(default_factory=dict)  # of each step's last command, by step id
    failures: list[Failure] = field(default_factory=list)
    skipped: list[tuple[str, Step]] = field(default_factory=list)  # because a step that they depend on failed

    @property
    def changed(self) -> list[str]:
        """What was done, as a command's document and the audit record list it."""
        return [f"{host}: {step.title}" for host, step in self.done]


CONNECT = Step("Connect to the host", (), ())
Report = Callable[[str, str, Step, str], None]  # event (start, done, fail), host, step, detail


def pending(plan: Plan, runners: Mapping[str, StepRunner]) -> dict[str, list[Step]]:
    """The steps with something to do by host, without checks; all hosts are asked in parallel.

    Raises the PneumoError of the first host, in the order of the plan's hosts, that cannot be asked.
    """
    by_host = {name: [step for step in plan.steps if name in step.hosts and not step.check] for name in runners}
    with ThreadPoolExecutor(max(1, len(by_host))) as pool:
        asked = {name: pool.submit(runners[name].pending, steps) for name, steps in by_host.items() if steps}
        answers = {name: list(zip(by_host[name], answer.result(), strict=True)) for name, answer in asked.items()}
    ids = {step.id for steps in answers.values() for step, has_work in steps if has_work and not step.needed_by}

    def is_pending(step: Step, has_work: bool) -> bool:
        if not step.needed_by:
            return has_work
        return bool(ids & set(step.needed_by)) or (has_work and bool(step.done_if))

    return {name: [step for step, has_work in steps if is_pending(step, has_work)] for name, steps in answers.items()}


def roll_out(
    plan: Plan, runners: Mapping[str, StepRunner], todo: Mapping[str, Sequence[Step]], journal: Journal, report: Report
) -> Result:
    """Carry out the steps in `todo` and all checks; a failure stops its host and the steps that depend on it."""
    run = _Rollout(plan, runners, todo, journal, report)
    names = [name for name in runners if any(name in step.hosts for step in plan.steps)]
    threads = [threading.Thread(target=run.host, args=(name,), daemon=True) for name in names]
    for thread in threads:  # daemon threads, so that Ctrl-C waits for no host; a step that has begun ends on the host
        thread.start()
    for thread in threads:
        while thread.is_alive():  # join() without a time limit would block Ctrl-C
            thread.join(0.2)
    return run.result


class _Rollout:
    """The state that the hosts' threads share."""

    def __init__(
        self,
        plan: Plan,
        runners: Mapping[str, StepRunner],
        todo: Mapping[str, Sequence[Step]],
        journal: Journal,
        report: Report,
    ) -> None:
        self.plan, self.runners, self.todo, self.journal, self.report = plan, runners, todo, journal, report
        self.result = Result()
        self.changed = threading.Condition()
        self.open = Counter(step.id for step in plan.steps for _ in step.hosts)  # step -> hosts that have not ended it
        self.failed: set[str] = set()  # ids of the steps that failed or were skipped on some host

    def host(self, name: str) -> None:
        """Carry out the steps of one host."""
        failed = False
        for step in self.plan.steps:
            if name not in step.hosts:
                continue
            if failed or not self._wait_for_dependencies(step):
                self._skip(name, step)
                continue
            if step.check or step in self.todo.get(name, ()):
                failed = not self._act(name, step)
            self._close(step)

    def _wait_for_dependencies(self, step: Step) -> bool:
        """Wait until the steps that this one depends on have ended on all hosts; returns whether it can start."""
        with self.changed:
            self.changed.wait_for(
                lambda: (
                    bool(self.failed & set(step.after))
                    or not any(self.open[id] for id in (*step.after, *step.after_any_outcome))
                )
            )
            return not self.failed & set(step.after)

    def _act(self, name: str, step: Step) -> bool:
        """Carry out a step on a host and record the result; returns whether it succeeded."""
        self.journal.write("start", step.title, name)
        self.report("start", name, step, "")
        state, output, error = self._outcome(name, step)
        event, detail = ("fail", error.message) if error else ("done", "")
        self.journal.write(event, step.title, name, detail)
        self.report(event, name, step, detail)
        with self.changed:
            if error:
                self.failed.add(step.id)
                self.result.failures.append(Failure(name, step, error))
            else:
                self.result.outputs[step.id] = output
                if state == "done" and not step.check:
                    self.result.done.append((name, step))
        return error is None

    def _outcome(self, name: str, step: Step) -> tuple[str, Output, PneumoError | None]:
        try:
            state, output = self.runners[name].act(step)
        except PneumoError as error:
            return "failed", Output(1, "", ""), error
        except Exception as bug:
            return "failed", Output(1, "", ""), PneumoError(unexpected(bug))
        if state != "failed":
            return state, output, None
        return state, output, PneumoError(output.stderr.strip(), code=Exit.GATE_FAILED if step.gate else Exit.FAILED)

    def _skip(self, name: str, step: Step) -> None:
        with self.changed:
            self.result.skipped.append((name, step))
            self.failed.add(step.id)
        self._close(step)

    def _close(self, step: Step) -> None:
        with self.changed:
            self.open[step.id] -= 1
            if not self.open[step.id] or step.id in self.failed:  # otherwise nobody's wait can end
                self.changed.notify_all()


def raise_for(result: Result, again: str, then: Sequence[str] = (), mixed: bool = False) -> None:
    """Raise PneumoError if anything failed: exit 6, or 10 for a health gate, 5 for a host with another's lease.

    `then`: what was done about it. `mixed`: hosts serve different releases now, so that it is exit 6 in any case.
    """
    if not result.failures:
        return
    codes = {failure.error.code for failure in result.failures}
    special = () if mixed else (Exit.GATE_FAILED, Exit.LOCKED)
    code = next((code for code in special if code in codes), Exit.PARTLY)
    lines = [f"{failure.host}: “{failure.step.title}” failed: {failure.error.message}" for failure in result.failures]
    blocked = {name for name, _ in result.skipped}
    if blocked:
        lines.append(f"skipped because of that: {len(result.skipped)} steps on {', '.join(sorted(blocked))}")
    lines += then
    hosts = sorted({failure.host for failure in result.failures} | blocked)
    failed = [
        {"host": failure.host, "step": failure.step.title, "message": failure.error.message}
        for failure in result.failures
    ]
    hint = f"after fixing the cause: {again}"
    raise PneumoError("\n".join(lines), hint, code, failed=failed, hosts=hosts, changed=result.changed)
