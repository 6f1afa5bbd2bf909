"""Carry out a plan step by step: probe each step, act if needed, write the journal, report events."""

import logging
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, assert_never

from pneumoctl.errors import PneumoError
from pneumoctl.files import NOT_COPIED
from pneumoctl.plan.steps import Action, Copy, Fetch, Link, Plan, Put, Run, Service, Step, describe_action
from pneumoctl.plan.transport import Output, Transport
from pneumoctl.stack.journal import Journal

log = logging.getLogger("pneumoctl")
Event = Literal["start", "done", "skip", "fail"]


@dataclass(frozen=True)
class HostAccess:
    """How to act on a host, and the command line of its service manager."""

    transport: Transport
    service_argv: Callable[[Service], tuple[str, ...]]


class StepFailed(PneumoError):
    """An action failed on a host."""

    def __init__(self, step: Step, host: str, action: str, output: Output) -> None:
        tail = output.tail()
        super().__init__(
            f"step “{step.title}” failed on {host}: {action} (exit {output.code})" + (f"\n{tail}" if tail else ""),
            step=step.title,
            host=host,
            exit_code=output.code,
        )
        self.output = output


def pending(step: Step, hosts: Mapping[str, HostAccess]) -> bool:
    """Whether a step has something to do; runs its probes, changes nothing."""
    return any(_pending_on(step, hosts[name]) for name in step.hosts)


def _pending_on(step: Step, host: HostAccess) -> bool:
    if step.check or not step.done_if:
        return True
    return any(host.transport.run(probe.argv, probe.timeout).code != 0 for probe in step.done_if)


def execute(
    plan: Plan,
    hosts: Mapping[str, HostAccess],
    journal: Journal,
    report: Callable[[Event, Step], None],
    done: Collection[Step] = (),
) -> dict[str, Output]:
    """Carry out every pending step in order, its hosts in parallel; stop at the first that fails.

    The probes of the steps in `done` have just found nothing to do, and are not run again.

    Returns the output of each step's last command by step id. Raises StepFailed.
    """
    outputs: dict[str, Output] = {}
    for step in plan.steps:
        waiting = [] if step in done else [name for name in step.hosts if _pending_on(step, hosts[name])]
        if not waiting:
            journal.write("skip", step.title)
            report("skip", step)
            continue
        report("start", step)
        try:
            with ThreadPoolExecutor(max_workers=len(waiting)) as pool:
                for output in pool.map(lambda name, step=step: _on_host(step, name, hosts[name], journal), waiting):
                    outputs[step.id] = output
        except BaseException:
            report("fail", step)
            raise
        report("done", step)
    return outputs


def _on_host(step: Step, name: str, host: HostAccess, journal: Journal) -> Output:
    journal.write("start", step.title, name)
    last = Output(0, "", "")
    for action in step.actions:
        shown = describe_action(action)
        log.info("%s: %s", name, shown)
        try:
            output = _act(action, host)
        except OSError as error:
            output = Output(1, "", str(error))
        if isinstance(action, Run | Service):
            last = output
            log.info("%s: exit %d %s", name, output.code, output.tail(5))
        if output.code != 0:
            journal.write("fail", step.title, name, f"{shown}: exit {output.code}")
            raise StepFailed(step, name, shown, output)
    journal.write("done", step.title, name)
    return last


def _act(action: Action, host: HostAccess) -> Output:
    transport = host.transport
    match action:
        case Run(argv, timeout):
            return transport.run(argv, timeout)
        case Service():
            return transport.run(host.service_argv(action), 120)
        case Put(content, path, mode):
            transport.put(content.encode(), path, mode)
        case Copy(tree, path):
            transport.copy(tree.source, path, NOT_COPIED)
        case Link(path, target):
            transport.link(path, target)
        case Fetch(source, path):
            transport.fetch(source, path)
        case _:
            assert_never(action)
    return Output(0, "", "")
