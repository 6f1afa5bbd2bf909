"""After a failed health gate: switch hosts back to the releases that they served before it, and say what they serve."""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.hosts import configure, releases
from pneumoctl.hosts.desired import Code, DesiredState, Model
from pneumoctl.hosts.layout import OPERATOR, ROOT
from pneumoctl.plan import rollout
from pneumoctl.plan.rollout import Report, Result, StepRunner
from pneumoctl.plan.steps import Link, Plan, Step
from pneumoctl.stack.inventory import Host
from pneumoctl.stack.journal import Journal


@dataclass(frozen=True)
class Restored:
    """What was restored, as lines; not `complete` if hosts serve different releases, or if that is not known."""

    lines: tuple[str, ...] = ()
    complete: bool = True
    done: tuple[tuple[str, Step], ...] = ()  # (host, step)


def after(
    result: Result,
    desired: DesiredState,
    runners: Mapping[str, StepRunner],
    journal: Journal,
    report: Report,
    links: Callable[[Host], Mapping[str, str]],
    expect: Callable[[int], None] = lambda _: None,
) -> Restored:
    """If a gate failed, restore the releases of the hosts that `result` switched, and prove what serves then.

    `links` reads the links of a host, as `DesiredState.current_links`; `expect` is called with the number of steps.
    """
    if not any(failure.error.code == Exit.GATE_FAILED for failure in result.failures):
        return Restored()
    hosts, lost = switched(desired, result), _lost(result)
    back = [host for host in hosts if earlier(desired, host)]
    silent = _silent(back, runners)
    answering = [host for host in back if host.name not in silent]
    outcome = Result()
    if answering:
        steps = plan(desired, answering, lost)
        outcome = _carried_out(steps, runners, journal, report, expect, prove=not silent)
    unknown = silent | {host.name for host in hosts if releases.serve_id(host) in _lost(outcome)}
    unknown |= {host.name for host in hosts if host not in back and releases.serve_id(host) in lost}
    return _restored(desired, hosts, outcome, serving_now(desired, unknown, links))


def switched(desired: DesiredState, result: Result) -> list[Host]:
    """The hosts that serve another release than the earlier one, or may; not those with another configuration only."""
    begun = {step.id for _, step in result.done} | _lost(result)

    def is_switched(host: Host) -> bool:
        interrupted = earlier(desired, host) != before(desired, host)  # an interrupted command has switched it
        return interrupted or (releases.serve_id(host) in begun and before(desired, host) != _desired(desired, host))

    return [host for host in _planned(desired) if is_switched(host)]


def _lost(result: Result) -> set[str]:
    """The ids of the steps whose end is not known: on a host with a lost link or lease, a step may still go on."""
    return {failure.step.id for failure in result.failures if failure.error.code != Exit.GATE_FAILED}


def _silent(hosts: Sequence[Host], runners: Mapping[str, StepRunner]) -> set[str]:
    """The names of the hosts that do not answer now."""

    def is_silent(host: Host) -> bool:
        try:
            runners[host.name].pending(())
        except PneumoError:
            return True
        return False

    with ThreadPoolExecutor(len(hosts) or 1) as pool:
        return {host.name for host, silent in zip(hosts, pool.map(is_silent, hosts), strict=True) if silent}


def _planned(desired: DesiredState) -> list[Host]:
    return [host for host in desired.inventory.hosts if host.name in desired.releases]


def before(desired: DesiredState, host: Host) -> dict[str, str]:
    """Kind -> the release that the host served when the command began; empty if it did not serve."""
    return _current(desired, host, desired.current_links.get(host.name, {}))


def earlier(desired: DesiredState, host: Host) -> dict[str, str]:
    """Kind -> the release that the host returns to; empty if it did not serve.

    An interrupted command may have switched the host before this one began. Then it is the release before that one, if
    hosts that this command had to switch still served it.
    """
    links, new = desired.current_links.get(host.name, {}), _desired(desired, host)
    replaced = {
        (kind, name)
        for other in _planned(desired)
        for kind, name in before(desired, other).items()
        if name != _desired(desired, other)[kind]
    }
    previous = {kind: links.get(f"{kind}/previous", "").removeprefix("releases/") for kind in new}
    return {
        kind: previous[kind] if name == new[kind] and (kind, previous[kind]) in replaced else name
        for kind, name in before(desired, host).items()
    }


def _current(desired: DesiredState, host: Host, links: Mapping[str, str]) -> dict[str, str]:
    kinds = _desired(desired, host)
    current = {kind: links.get(f"{kind}/current", "").removeprefix("releases/") for kind in kinds}
    return current if all(current.values()) else {}


def _desired(desired: DesiredState, host: Host) -> dict[str, str]:
    model = desired.models.get(host.name)
    code = {releases.KINDS[host.role]: desired.releases[host.name].digest}
    return code if model is None else {**code, "model": model.name}


def plan(desired: DesiredState, hosts: Sequence[Host], lost: Collection[str] = ()) -> Plan:
    """The steps that switch these hosts back, batch after batch; for those of `lost` steps, whatever a probe finds."""
    kinds = {host.name: earlier(desired, host) for host in hosts}
    code = {host.name: Code(kinds[host.name][releases.KINDS[host.role]]) for host in hosts}
    models = {name: Model(names["model"]) for name, names in kinds.items() if "model" in names}
    links = {
        name: {f"{kind}/current": f"releases/{release}" for kind, release in kinds[name].items()} for name in kinds
    }
    state = replace(
        desired,
        releases={**desired.releases, **code},
        models={**desired.models, **models},
        current_links={**desired.current_links, **links},  # so that no step makes the failed release the previous one
    )
    steps = [step for step in releases.steps(state) if set(step.hosts) & set(kinds) or step.needed_by]
    previous = {releases.serve_id(host): _previous(desired, host) for host in hosts}
    return Plan(
        f"the earlier releases of stack {desired.settings.stack}",
        tuple(
            replace(
                step,
                actions=(*previous.get(step.id, ()), *step.actions),
                done_if=() if step.id in lost else step.done_if,  # the lost one may end only after the probes
            )
            for step in steps
        ),
    )


def _previous(desired: DesiredState, host: Host) -> list[Link]:
    """The links for a later rollback, as they were: not to the release that failed."""
    links = desired.current_links[host.name]
    names = (f"{kind}/previous" for kind in before(desired, host))
    return [Link(f"{ROOT}/{name}", links[name]) for name in names if name in links]


def _carried_out(
    plan: Plan,
    runners: Mapping[str, StepRunner],
    journal: Journal,
    report: Report,
    expect: Callable[[int], None],
    prove: bool,
) -> Result:
    try:
        todo = rollout.pending(plan, runners)
    except PneumoError as error:
        return Result(failures=[rollout.Failure(step.hosts[0], step, error) for step in plan.steps if step.gate])
    expect(sum(len(steps) for steps in todo.values()))
    proof = (configure.proof(plan),) if prove and OPERATOR in runners else ()
    return rollout.roll_out(replace(plan, steps=(*plan.steps, *proof)), runners, todo, journal, report)


Serving = Mapping[str, Mapping[str, str] | None]  # host -> kind -> the release that it serves; None: not known


def serving_now(desired: DesiredState, unknown: Collection[str], links: Callable[[Host], Mapping[str, str]]) -> Serving:
    """What each host of a role that the command changes serves now; the hosts in `unknown` are not asked."""

    def ask(host: Host) -> Mapping[str, str] | None:
        try:
            return None if host.name in unknown else _current(desired, host, links(host))
        except PneumoError:
            return None

    roles = {host.role for host in _planned(desired) if before(desired, host) != _desired(desired, host)}
    hosts = [host for host in _planned(desired) if host.role in roles]
    with ThreadPoolExecutor(len(hosts) or 1) as pool:
        return {host.name: kinds for host, kinds in zip(hosts, pool.map(ask, hosts), strict=True)}


def _restored(desired: DesiredState, hosts: Sequence[Host], outcome: Result, serving: Serving) -> Restored:
    """The lines about what these hosts, and the others of their roles, serve after the `outcome` of the restore."""
    back = {host.name: kinds for host in hosts if (kinds := earlier(desired, host))}
    undone = {step.id for _, step in outcome.skipped} | {failure.step.id for failure in outcome.failures}
    failed = {host.name for host in hosts if releases.serve_id(host) in undone}
    new = [host.name for host in hosts if host.name not in back and serving[host.name] is not None]
    lines = [f"{', '.join(new)} served nothing before: the new release stays there"] if new else []
    for name, kinds in back.items():
        state = "serves" if serving[name] == kinds and name not in failed else "does not serve"
        if serving[name] is not None:
            lines.append(f"{name} {state} {' and '.join(f'{kind} {release}' for kind, release in kinds.items())} again")
    unknown = [name for name, kinds in serving.items() if kinds is None]
    if unknown:
        names = ", ".join(unknown)
        lines.append(f"what serves on {names} is not known, it may be the release that failed; run: pneumoctl status")
    different = _different(serving)
    complete = (
        not unknown
        and not different
        and all(serving[name] == kinds and name not in failed for name, kinds in back.items())
    )
    return Restored((*lines, *different, *_outcome_lines(outcome)), complete, tuple(outcome.done))


def _different(serving: Serving) -> list[str]:
    """A line for each kind of which hosts serve different releases."""
    hosts: dict[str, dict[str, list[str]]] = {}
    for name, kinds in serving.items():
        for kind, release in (kinds or {}).items():
            hosts.setdefault(kind, {}).setdefault(release, []).append(name)
    return [
        f"hosts serve different releases of {kind}: "
        + "; ".join(f"{release} on {', '.join(names)}" for release, names in by_release.items())
        for kind, by_release in hosts.items()
        if len(by_release) > 1
    ]


def _outcome_lines(outcome: Result) -> list[str]:
    lines = []
    for failure in outcome.failures:
        where = failure.host
        if failure.step.id == configure.PROOF:
            fails = failure.error.code == Exit.GATE_FAILED
            where = f"the test prediction {'fails' if fails else 'could not be made'} with these releases"
        lines.append(f"{where}: {failure.error.message}")
    if configure.PROOF in outcome.outputs:
        lines.append("the test prediction passes with these releases")
    return lines
