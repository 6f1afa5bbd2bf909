"""What somebody changed on the hosts of a stack on aws: files, units, packages, releases; asked and never touched."""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from pneumoctl.errors import PneumoError
from pneumoctl.hosts import units
from pneumoctl.hosts.layout import ROOT
from pneumoctl.hosts.steps import active, enabled, installed
from pneumoctl.plan.steps import Put, Run, Step, holds
from pneumoctl.ssh import hosts as ssh_hosts
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.ssh.connections import Connections
from pneumoctl.ssh.on_host import release_check
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import desired, host_facts
from pneumoctl.targets.aws.desired import Ours

PATIENCE_S = 60.0  # for all hosts together
RELEASES_S = 45.0
# An environment is shared by releases and kept by `up`, which installs nothing below a service that runs from it.
REPLACE = "; up does not mend environments: terminate the instance, then up"
DETAILS = {"differs": "not what was brought", "gone": "is missing", "added": "was not brought"}


@dataclass(frozen=True)
class Row:
    """Something that is not as it should be: changed, stopped, gone, or unknown."""

    what: str
    where: str
    detail: str


@dataclass(frozen=True)
class Part:
    """A part of what a host should be, and a probe that succeeds when it is so."""

    row: Row  # if it is not
    probe: Run
    put: Put | None = None


def look(settings: Settings, stack: Stack, known: Inventory) -> tuple[list[Row], list[str]]:
    """The rows of all hosts, and how files differ; a host that cannot be asked is a row, too."""
    brought = desired.ours(settings)
    hosts = [host for host in known.hosts if host.role != "train"]
    with Connections(known, stack.ssh) as connections:
        agents = Agents(connections, holder="", who="", run="")
        questions = {host.name: partial(_host, settings, stack, host, agents, brought) for host in hosts}
        answers = host_facts.within(PATIENCE_S, questions)
    rows: list[Row] = []
    differences: list[str] = []
    for name, answer in answers.items():
        if isinstance(answer, PneumoError):
            rows.append(Row("unknown", name, answer.message))
        else:
            rows += answer[0]
            differences += answer[1]
    return rows, differences


def _host(settings: Settings, stack: Stack, host: Host, agents: Agents, brought: Ours) -> tuple[list[Row], list[str]]:
    seen = host_facts.see(agents, host)
    wished = list(parts(host, host_facts.steps(settings, stack, host, seen, brought)))
    asked = agents.pending(host, [Step("", (host.name,), (), (one.probe,)) for one in wished])
    off = [one for one, differs in zip(wished, asked, strict=True) if differs]
    puts = Step("", (host.name,), tuple(one.put for one in off if one.put))
    alone = ssh_hosts.Hosts(Inventory((host,)), agents, {})
    return [*(one.row for one in off), *_releases(host, seen, agents)], alone.differences({host.name: [puts]})


def parts(host: Host, steps: Sequence[Step]) -> Iterator[Part]:
    """What the steps would see to, each thing once, in words of what it is; then what makes it come back at boot."""
    named: set[Run] = set()
    for step in steps:
        for part in _parts(host, step):
            if part.probe not in named:
                named.add(part.probe)
                yield part
    for unit in units.of(host):
        if enabled(unit) not in named:
            yield Part(_boot(host, unit), enabled(unit))


def _parts(host: Host, step: Step) -> Iterator[Part]:
    """The probes of a step, by what they look at; what has no name of its own is called by the step's title."""
    puts = {holds(put): put for put in step.actions if isinstance(put, Put)}
    running = {active(unit): unit for unit in _units(step)}
    for probe in step.unless:
        if probe in puts:
            put = puts[probe]
            yield Part(Row("changed", f"{host.name}: {put.path}", "contents or rights differ"), probe, put)
        elif probe in running:
            yield Part(Row("stopped", f"{host.name}: {running[probe]}", "does not run"), probe)
        elif probe.argv[-1:] and probe == enabled(probe.argv[-1]):
            yield Part(_boot(host, probe.argv[-1]), probe)
        elif packages := installed_by(probe):
            for one in packages:
                yield Part(Row("gone", f"{host.name}: package {one}", "is not installed"), installed((one,)))
        else:
            yield Part(Row("changed", host.name, f"“{step.title}” would be done again"), probe)


def _boot(host: Host, unit: str) -> Row:
    return Row("changed", f"{host.name}: {unit}", "does not start at boot")


def _units(step: Step) -> Iterator[str]:
    for probe in step.unless:
        if probe.argv[:2] == ("systemctl", "is-active"):
            yield probe.argv[-1]


def installed_by(probe: Run) -> tuple[str, ...]:
    """The packages that a probe looks for, if it is one of plans.hosts.installed."""
    script = installed(()).argv
    return probe.argv[len(script) :] if probe.argv[: len(script)] == script else ()


def _releases(host: Host, seen: host_facts.Seen, agents: Agents) -> list[Row]:
    """Files of the releases that serve which are not those that were brought there."""
    roots = [f"{ROOT}/{kind}/releases/{name}" for kind, name in seen.releases.items()]
    if not roots:
        return []
    said = agents.run(host, ("python3", "-IS", "-c", inspect.getsource(release_check), *roots), RELEASES_S)
    if said.code:
        return [Row("unknown", f"{host.name}: releases", said.stderr.strip()[-300:])]
    return [
        Row("changed", f"{host.name}: {path}", DETAILS[detail] + (REPLACE if "/venv/" in path else ""))
        for detail, _, path in (line.partition(" ") for line in said.stdout.splitlines())
    ]
