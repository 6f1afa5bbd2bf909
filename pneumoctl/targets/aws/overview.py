"""One document on a stack on aws: what EC2, every host and the front door say, asked at once, none waited for long."""

from collections.abc import Callable, Iterable, Mapping
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
from pneumoctl.targets.aws.desired import Ours
from pneumoctl.targets.aws.host_facts import Seen

PATIENCE_S = 3.5  # for all answers together: who has not spoken by then is shown as silent
CLOUD_S = 10.0  # AWS alone knows whether a GPU bills, which is worth the wait


def look(settings: Settings, stack: Stack, known: Inventory | None, agents: Agents | None) -> dict[str, Any]:
    """One document on the stack. PneumoError where AWS is silent and no inventory tells of a host either."""
    seen: dict[str, Seen] = {}
    answers = host_facts.within(PATIENCE_S, _questions(settings, stack, known, agents, seen), {"aws": CLOUD_S})
    cloud = answers["aws"]
    if isinstance(cloud, PneumoError):
        if known is None:
            raise cloud
        cloud = {"region": settings.region, "instances": (), "leases": {}, "bill": None, "said": cloud.message}
    instances, leases = {one.id: one for one in cloud["instances"]}, cloud["leases"]
    absent = "" if cloud["said"] else "gone"
    hosts = [
        _row(host, instances.get(host.instance_id), absent, seen, answers) for host in (known.hosts if known else ())
    ]
    for row in hosts:
        row["good"] = row["good"] or row["instance"] in leases
    ours = {*leases, *(host["instance"] for host in hosts)}  # a spot instance is nobody's but its run's
    strays = [one for one in instances.values() if one.id not in ours]
    door = _front(known, answers.get("front door"))
    whole = bool(hosts) and all(host["good"] for host in hosts) and not strays and door["serves"]
    return {
        "stack": settings.stack,
        "target": "aws",
        "region": cloud["region"],
        "exists": bool(hosts or strays),
        "up": whole and not cloud["said"],
        "address": known.bastion.public_address if known else "",
        "front_door": door,
        "hosts": hosts,
        "strays": [{"instance": one.id, "name": one.name, "state": one.state} for one in strays],
        "gpu_running": _unguarded(instances.values(), leases),
        "runs": list(leases.values()),
        "aws": cloud["said"],
        "bill": _priced(cloud["bill"]),
    }


def _questions(
    settings: Settings, stack: Stack, known: Inventory | None, agents: Agents | None, seen: dict[str, Seen]
) -> dict[str, Callable[[], Any]]:
    """Whom to ask, by name."""
    asked: dict[str, Callable[[], Any]] = {"aws": partial(_cloud, settings, stack)}
    if known and agents:
        brought = host_facts.brought(settings, stack, known)
        for host in known.hosts:
            if host.role != "train":
                asked[host.name] = partial(_host, settings, stack, host, agents, seen, brought)
        asked["front door"] = lambda: host_facts.knock(host_facts.door(settings, stack, known))
    return asked


def _unguarded(instances: Iterable[Instance], leases: Mapping[str, Any]) -> list[str]:
    """The GPU hosts that bill without a run."""
    on = (one for one in instances if one.role == "train" and one.state not in HALTING | HALTED)
    return [one.name for one in on if one.id not in leases]


def _cloud(settings: Settings, stack: Stack) -> dict[str, Any]:
    """The instances, and what bills; by the bundled prices, for AWS's own list may keep us waiting."""
    aws, _ = context.login(settings, stack)
    instances = aws.instances(settings.stack)
    leases = orphans.leases(aws, instances, settings.stack)
    listed = prices.bundled(aws.region)
    lines = tuple(one.line for one in spending.billed(aws, settings.stack, listed))
    return {
        "region": aws.region,
        "instances": instances,
        "leases": {id: {"run": one.run, "until": runs.format_time(one.until)} for id, one in leases.items()},
        "bill": bill.Bill(lines, listed.date, listed.source),
        "said": "",
    }


def _priced(total: bill.Bill | None) -> dict[str, Any] | None:
    if total is None:
        return None
    known = total.as_dict()
    return {name: known[name] for name in ("usd_per_hour", "usd_per_month", "at_least", "prices")}


def _host(
    settings: Settings,
    stack: Stack,
    host: Host,
    agents: Agents,
    seen: dict[str, Seen],
    brought: Ours | None,
) -> int | None:
    """What a host says goes to `seen` at once; returns the number of steps that `configure` would do there."""
    said = seen[host.name] = host_facts.see(agents, host)
    if brought is None:
        return None
    return sum(agents.pending(host, host_facts.steps(settings, stack, host, said, brought)))


def _front(known: Inventory | None, answer: Any) -> dict[str, Any]:
    said = answer.message if isinstance(answer, PneumoError) else ""
    days = round(answer, 1) if isinstance(answer, float) else None
    url = f"https://{known.bastion.public_address}" if known else ""
    return {"url": url, "serves": days is not None, "said": said, "certificate_days": days}


def _row(
    host: Host,
    instance: Any,
    absent: str,
    seen: Mapping[str, Seen],
    answers: Mapping[str, int | PneumoError | None],
) -> dict[str, Any]:
    state = instance.state if instance else absent or "?"
    said, answer = seen.get(host.name), answers.get(host.name)
    ssh = answer.message if said is None and isinstance(answer, PneumoError) else ""
    if said is not None:
        ssh = "booted" if said.boot == "ok" else said.boot or "no boot mark yet"
    if host.role == "train":
        good = state == "stopped"
    else:
        good = (
            state in ("running", "?") and ssh == "booted" and set((said.units if said else {}).values()) == {"active"}
        )
    return {
        "name": host.name,
        "instance": host.instance_id,
        "type": host.type,
        "state": state,
        "since": instance.launched.isoformat() if instance else None,
        "private": host.address,
        "public": host.public_address,
        "ssh": ssh,
        "units": dict(said.units) if said else {},
        "failed": list(said.failed) if said else [],
        "releases": said.releases if said else {},
        "disk_percent": said.disk if said else None,
        "memory_percent": said.memory if said else None,
        "steps_pending": answer if isinstance(answer, int) else None,
        "good": good,
    }
