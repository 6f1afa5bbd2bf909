"""The state of a stack on aws as one document. Queries EC2, all hosts and the front door in parallel."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from pneumoctl.aws import bill, prices, spending
from pneumoctl.aws.ec2 import HALTED, HALTING, Instance
from pneumoctl.errors import PneumoError
from pneumoctl.gpu import orphans
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.stack import runs
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import context, host_facts
from pneumoctl.targets.aws.desired import AvailableReleases
from pneumoctl.targets.aws.host_facts import HostFacts

TIMEOUT_S = 3.5  # for all answers together; a host without one by then is shown as not answering
CLOUD_S = 10.0  # only AWS knows whether a GPU host is billed, so it gets more time


def gather_status(
    settings: Settings, stack: Stack, inventory: Inventory | None, agents: Agents | None
) -> dict[str, Any]:
    """The state of the stack as one document. Raises PneumoError if AWS does not answer and there is no inventory."""
    answers = host_facts.within(TIMEOUT_S, _questions(settings, stack, inventory, agents), {"aws": CLOUD_S})
    cloud = answers["aws"]
    if isinstance(cloud, PneumoError):
        if inventory is None:
            raise cloud
        cloud = {"region": settings.region, "instances": (), "leases": {}, "bill": None, "error": cloud.message}
    instances, leases = {instance.id: instance for instance in cloud["instances"]}, cloud["leases"]
    hosts = _rows(inventory, instances, "?" if cloud["error"] else "gone", answers)
    for row in hosts:
        row["good"] = row["good"] or row["instance"] in leases
    expected = {*leases, *(host["instance"] for host in hosts)}  # a spot instance is in no inventory, only in a lease
    strays = [instance for instance in instances.values() if instance.id not in expected]
    door = _front(inventory, answers.get("front door"))
    whole = bool(hosts) and all(host["good"] for host in hosts) and not strays and door["serves"]
    return {
        "stack": settings.stack,
        "target": "aws",
        "region": cloud["region"],
        "exists": bool(hosts or strays),
        "up": whole and not cloud["error"],
        "address": inventory.bastion.public_address if inventory else "",
        "front_door": door,
        "hosts": hosts,
        "strays": [{"instance": instance.id, "name": instance.name, "state": instance.state} for instance in strays],
        "gpu_running": _unguarded(instances.values(), leases),
        "runs": list(leases.values()),
        "aws_error": cloud["error"],
        "bill": _priced(cloud["bill"]),
    }


def _questions(
    settings: Settings, stack: Stack, inventory: Inventory | None, agents: Agents | None
) -> dict[str, Callable[[], Any]]:
    """Name -> query: AWS, the facts and the pending steps of each host, the front door."""
    questions: dict[str, Callable[[], Any]] = {"aws": partial(_cloud, settings, stack)}
    if inventory and agents:
        releases = host_facts.available_releases(settings, stack, inventory)
        for host in inventory.hosts:
            if host.role != "train":
                facts: Future[HostFacts] = Future()
                questions[host.name] = partial(_facts, agents, host, facts)
                questions[_steps(host)] = partial(_pending, settings, stack, host, agents, facts, releases)
        questions["front door"] = lambda: host_facts.check_front_door(host_facts.door(settings, stack, inventory))
    return questions


def _steps(host: Host) -> str:
    """The name of the query for a host's pending steps."""
    return f"{host.name}: pending steps"


def _unguarded(instances: Iterable[Instance], leases: Mapping[str, Any]) -> list[str]:
    """The GPU hosts that are billed without a run."""
    on = (instance for instance in instances if instance.role == "train" and instance.state not in HALTING | HALTED)
    return [instance.name for instance in on if instance.id not in leases]


def _cloud(settings: Settings, stack: Stack) -> dict[str, Any]:
    """The instances, and the bill by the bundled prices, because AWS's own price list may be slow."""
    aws, _ = context.login(settings, stack)
    instances = aws.instances(settings.stack)
    leases = orphans.leases(aws, instances, settings.stack)
    listed = prices.bundled(aws.region)
    lines = tuple(resource.line for resource in spending.billed(aws, settings.stack, listed))
    return {
        "region": aws.region,
        "instances": instances,
        "leases": {id: {"run": lease.run, "until": runs.format_time(lease.until)} for id, lease in leases.items()},
        "bill": bill.Bill(lines, listed.date, listed.source),
        "error": "",
    }


def _priced(total: bill.Bill | None) -> dict[str, Any] | None:
    if total is None:
        return None
    document = total.as_dict()
    return {name: document[name] for name in ("usd_per_hour", "usd_per_month", "at_least", "prices")}


def _facts(agents: Agents, host: Host, facts: Future[HostFacts]) -> HostFacts:
    """The facts that a host reports; also the result of the future `facts`."""
    try:
        facts.set_result(host_facts.see(agents, host))
    except Exception as error:  # raised below, and to whoever waits
        facts.set_exception(error)
    return facts.result()


def _pending(
    settings: Settings,
    stack: Stack,
    host: Host,
    agents: Agents,
    facts: Future[HostFacts],
    releases: AvailableReleases | None,
) -> int | None:
    """The number of steps that `configure` would do on a host; None if the hosts cannot be compared."""
    if releases is None:
        return None
    return sum(agents.pending(host, host_facts.steps(settings, stack, host, facts.result(), releases)))


def _front(inventory: Inventory | None, answer: Any) -> dict[str, Any]:
    reason = answer.message if isinstance(answer, PneumoError) else ""
    days = round(answer, 1) if isinstance(answer, float) else None
    url = f"https://{inventory.bastion.public_address}" if inventory else ""
    return {"url": url, "serves": days is not None, "error": reason, "certificate_days": days}


def _rows(
    inventory: Inventory | None, instances: Mapping[str, Instance], absent: str, answers: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """A row for each host of the inventory. `absent`: the state of a host that EC2 does not list."""
    hosts = inventory.hosts if inventory else ()
    return [
        _row(host, instances.get(host.instance_id), absent, answers.get(host.name), answers.get(_steps(host)))
        for host in hosts
    ]


def _row(
    host: Host, instance: Instance | None, absent: str, facts: HostFacts | PneumoError | None, pending: Any
) -> dict[str, Any]:
    state = instance.state if instance else absent
    seen = facts if isinstance(facts, HostFacts) else None
    ssh = facts.message if isinstance(facts, PneumoError) else ""
    if seen is not None:
        ssh = "booted" if seen.boot == "ok" else seen.boot or "no boot mark yet"
    units = dict(seen.units) if seen else {}
    serves = state in ("running", "?") and ssh == "booted" and set(units.values()) == {"active"}
    return {
        "name": host.name,
        "instance": host.instance_id,
        "type": host.type,
        "state": state,
        "since": instance.launched.isoformat() if instance else None,
        "private": host.address,
        "public": host.public_address,
        "ssh": ssh,
        "units": units,
        "failed": list(seen.failed) if seen else [],
        "releases": seen.releases if seen else {},
        "disk_percent": seen.disk if seen else None,
        "memory_percent": seen.memory if seen else None,
        "steps_pending": pending if isinstance(pending, int) else None,
        "good": state == "stopped" if host.role == "train" else serves,
    }
