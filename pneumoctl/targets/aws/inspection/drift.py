"""Find what was changed by hand in AWS and on the hosts: resources, files, units, packages, releases. Read-only."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from pneumoctl.aws.terraform.recovery import describe_rule
from pneumoctl.errors import PneumoError
from pneumoctl.gpu import orphans
from pneumoctl.hosts import units
from pneumoctl.hosts.layout import ROOT
from pneumoctl.hosts.steps import enabled, installed
from pneumoctl.plan.steps import Packages, Probe, Put, Step, Unit
from pneumoctl.ssh import hosts as ssh_hosts
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.ssh.connections import Connections, Unreachable
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.configuration import desired
from pneumoctl.targets.aws.configuration.desired import AvailableReleases
from pneumoctl.targets.aws.context import Context, last_applied_variables, read_only
from pneumoctl.targets.aws.inspection import host_facts
from pneumoctl.targets.aws.provisioning import provision

TIMEOUT_S = 60.0  # seconds until the answers of all hosts must have arrived
RELEASES_S = 45.0
# Releases share a virtual environment, and `up` changes no environment that a running service uses.
REPLACE = "; up does not repair environments: terminate the instance, then up"
DETAILS = {"differs": "differs from the deployed file", "missing": "is missing", "added": "is not part of the release"}


@dataclass(frozen=True)
class DriftRow:
    """Something that differs from the desired state: changed, added, stopped, gone, or unknown."""

    what: str
    where: str
    detail: str


@dataclass(frozen=True)
class Part:
    """A part of a host's desired state."""

    row: DriftRow  # reported if the probe fails
    probe: Probe
    put: Put | None = None


def compare(settings: Settings, stack: Stack) -> tuple[list[DriftRow], list[str]]:
    """The differences in AWS and on the hosts, and the diffs of files. Queries AWS and the hosts at the same time."""
    with ThreadPoolExecutor(1) as aside, read_only(settings, stack) as context:
        inventory = stack.hosts()
        asked = aside.submit(compare_hosts, settings, stack, inventory) if inventory else None
        orphans.start_alarm(context.aws)
        provision.prepare(context, last_applied_variables(context))
        rows = list(_in_aws(context))
        stopped = {host.name: host.id for host in provision.stopped_hosts(context)}
        rows += [DriftRow("stopped", *host) for host in stopped.items()]
        on_hosts, differences = asked.result() if asked else ([], [])
    # A stopped host cannot answer. It already has the row "stopped".
    return [*rows, *(row for row in on_hosts if row.what != "unknown" or row.where not in stopped)], differences


def _in_aws(context: Context) -> Iterator[DriftRow]:
    for change in provision.plan(context, refresh_only=True).drifted:
        if change.action == "delete":
            yield DriftRow("gone", change.address, "")
        else:
            yield DriftRow("changed", change.address, ", ".join(change.attributes))
    for rule in provision.foreign_rules(context):
        yield DriftRow("added", rule["GroupId"], describe_rule(rule))


def compare_hosts(settings: Settings, stack: Stack, inventory: Inventory) -> tuple[list[DriftRow], list[str]]:
    """The rows of all hosts, and the diffs of files. A host that does not answer has the row "unknown"."""
    releases = desired.available_releases(settings)
    hosts = [host for host in inventory.hosts if host.role != "train"]
    with Connections(inventory, stack.ssh) as connections:
        agents = Agents(connections, holder="", who="", run="")
        questions = {host.name: partial(_host, settings, stack, host, agents, releases) for host in hosts}
        answers = host_facts.within(TIMEOUT_S, questions)
    rows: list[DriftRow] = []
    differences: list[str] = []
    for name, answer in answers.items():
        if isinstance(answer, PneumoError):
            rows.append(DriftRow("unknown", name, answer.message))
        else:
            rows += answer[0]
            differences += answer[1]
    return rows, differences


def _host(
    settings: Settings, stack: Stack, host: Host, agents: Agents, releases: AvailableReleases
) -> tuple[list[DriftRow], list[str]]:
    seen = host_facts.see(agents, host)
    desired_parts = list(parts(host, host_facts.steps(settings, stack, host, seen, releases)))
    pending = agents.pending(host, [Step("", (host.name,), (), (part.probe,)) for part in desired_parts])
    off = [part for part, differs in zip(desired_parts, pending, strict=True) if differs]
    puts = Step("", (host.name,), tuple(part.put for part in off if part.put))
    alone = ssh_hosts.Hosts(Inventory((host,)), agents, {})
    return [*(part.row for part in off), *_releases(host, seen, agents)], alone.differences({host.name: [puts]})


def parts(host: Host, steps: Sequence[Step]) -> Iterator[Part]:
    """The parts of a host that the steps check, without duplicates; then whether its units start at boot."""
    named: set[Probe] = set()
    for step in steps:
        for part in _parts(host, step):
            if part.probe not in named:
                named.add(part.probe)
                yield part
    for unit in units.of(host):
        if enabled(unit) not in named:
            yield Part(_boot(host, unit), enabled(unit))


def _parts(host: Host, step: Step) -> Iterator[Part]:
    """The probes of a step, each with the row to report. The row names the subject of the probe, else the step."""
    for probe in step.done_if:
        match probe.subject:
            case Put(path=path) as put:
                yield Part(DriftRow("changed", f"{host.name}: {path}", "contents or rights differ"), probe, put)
            case Unit(name, "running"):
                yield Part(DriftRow("stopped", f"{host.name}: {name}", "does not run"), probe)
            case Unit(name, _):
                yield Part(_boot(host, name), probe)
            case Packages(names):
                for name in names:
                    yield Part(DriftRow("gone", f"{host.name}: package {name}", "is not installed"), installed((name,)))
            case _:
                yield Part(DriftRow("changed", host.name, f"“{step.title}” would be done again"), probe)


def _boot(host: Host, unit: str) -> DriftRow:
    return DriftRow("changed", f"{host.name}: {unit}", "does not start at boot")


def _releases(host: Host, seen: host_facts.HostFacts, agents: Agents) -> list[DriftRow]:
    """The files of the current releases that differ from the deployed ones."""
    roots = [f"{ROOT}/{kind}/releases/{name}" for kind, name in seen.releases.items()]
    if not roots:
        return []
    try:
        differences = agents.check_releases(host, roots, RELEASES_S)
    except Unreachable as error:
        return [DriftRow("unknown", f"{host.name}: releases", error.message)]
    return [
        DriftRow("changed", f"{host.name}: {path}", DETAILS[kind] + (REPLACE if "/venv/" in path else ""))
        for kind, path in differences
    ]
