"""After a failed health gate: switch hosts back to the releases that they served when the command began."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.hosts import configure, releases
from pneumoctl.hosts.desired import Code, DesiredState, Model
from pneumoctl.hosts.layout import OPERATOR, ROOT
from pneumoctl.plan import rollout
from pneumoctl.plan.rollout import Report, Result, StepRunner
from pneumoctl.plan.steps import Link, Plan
from pneumoctl.stack.inventory import Host
from pneumoctl.stack.journal import Journal


@dataclass(frozen=True)
class Restored:
    """What was restored, as lines; not `complete` if some hosts serve the earlier releases and some the new ones."""

    lines: tuple[str, ...] = ()
    complete: bool = True


def after(
    result: Result,
    desired: DesiredState,
    runners: Mapping[str, StepRunner],
    journal: Journal,
    report: Report,
    expect: Callable[[int], None] = lambda _: None,
) -> Restored:
    """If a gate failed, restore the releases of the hosts that `result` switched, and prove what serves then.

    `expect` is called with the number of steps.
    """
    if not any(failure.error.code == Exit.GATE_FAILED for failure in result.failures):
        return Restored()
    hosts = switched(desired, result)
    new = [host.name for host in hosts if not before(desired, host)]
    lines = [f"{', '.join(new)} served nothing before: the new release stays there"] if new else []
    if len(hosts) == len(new):
        return Restored(tuple(lines))
    back = [host for host in hosts if host.name not in new]
    outcome = _carried_out(plan(desired, back), runners, journal, report, expect)
    undone = {step.id for _, step in outcome.skipped} | {failure.step.id for failure in outcome.failures}
    for host in back:
        names = " and ".join(f"{kind} {name}" for kind, name in before(desired, host).items())
        lines.append(f"{host.name} {'does not serve' if releases.serve_id(host) in undone else 'serves'} {names} again")
    for failure in outcome.failures:
        proof = failure.step.id == configure.PROOF
        where = "the test prediction fails with these releases" if proof else failure.host
        lines.append(f"{where}: {failure.error.message}")
    if configure.PROOF in outcome.outputs:
        lines.append("the test prediction passes with these releases")
    return Restored(tuple(lines), not new and not any(releases.serve_id(host) in undone for host in back))


def switched(desired: DesiredState, result: Result) -> list[Host]:
    """The hosts that serve another release than before; not those with another configuration only."""
    done = {step.id for _, step in result.done}
    hosts = [host for host in desired.inventory.hosts if host.name in desired.releases]
    return [
        host for host in hosts if releases.serve_id(host) in done and before(desired, host) != _desired(desired, host)
    ]


def before(desired: DesiredState, host: Host) -> dict[str, str]:
    """Kind -> the release that the host served when the command began; empty if it did not serve."""
    links = desired.current_links.get(host.name, {})
    kinds = _desired(desired, host)
    current = {kind: links.get(f"{kind}/current", "").removeprefix("releases/") for kind in kinds}
    return current if all(current.values()) else {}


def _desired(desired: DesiredState, host: Host) -> dict[str, str]:
    model = desired.models.get(host.name)
    code = {releases.KINDS[host.role]: desired.releases[host.name].digest}
    return code if model is None else {**code, "model": model.name}


def plan(desired: DesiredState, hosts: Sequence[Host]) -> Plan:
    """The steps that switch these hosts back, one after another."""
    earlier = {host.name: before(desired, host) for host in hosts}
    code = {host.name: Code(earlier[host.name][releases.KINDS[host.role]]) for host in hosts}
    models = {name: Model(kinds["model"]) for name, kinds in earlier.items() if "model" in kinds}
    state = replace(desired, releases={**desired.releases, **code}, models={**desired.models, **models})
    steps = [step for step in releases.steps(state) if set(step.hosts) & set(earlier) or step.needed_by]
    previous = {releases.serve_id(host): _previous(desired, host) for host in hosts}
    return Plan(
        f"the earlier releases of stack {desired.settings.stack}",
        tuple(replace(step, actions=(*previous.get(step.id, ()), *step.actions)) for step in steps),
    )


def _previous(desired: DesiredState, host: Host) -> list[Link]:
    """The links for a later rollback, as they were: not to the release that failed."""
    links = desired.current_links[host.name]
    names = (f"{kind}/previous" for kind in before(desired, host))
    return [Link(f"{ROOT}/{name}", links[name]) for name in names if name in links]


def _carried_out(
    plan: Plan, runners: Mapping[str, StepRunner], journal: Journal, report: Report, expect: Callable[[int], None]
) -> Result:
    try:
        todo = rollout.pending(plan, runners)
    except PneumoError as error:
        return Result(failures=[rollout.Failure(step.hosts[0], step, error) for step in plan.steps if step.gate])
    expect(sum(len(steps) for steps in todo.values()))
    proof = (configure.proof(plan),) if OPERATOR in runners else ()
    return rollout.roll_out(replace(plan, steps=(*plan.steps, *proof)), runners, todo, journal, report)
