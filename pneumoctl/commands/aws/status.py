"""`status` on aws: what EC2, every host and the front door say, all asked at once and none waited for long."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pneumoctl.agents import Agents
    from pneumoctl.bill import Bill
    from pneumoctl.deployment import Ours
    from pneumoctl.errors import PneumoError
    from pneumoctl.inventory import Host, Inventory
    from pneumoctl.settings import Settings
    from pneumoctl.stack import Stack
    from pneumoctl.survey import Seen

PATIENCE_S = 3.5  # for all answers together: who has not spoken by then is shown as silent
CLOUD_S = 10.0  # AWS alone knows whether a GPU bills, which is worth the wait
PAUSE_S = 2.0


def status(settings: "Settings", place: "Stack", watch: bool) -> int:
    """Look and show, once or until interrupted. Takes no lock and no lease: others may work meanwhile."""
    from pneumoctl.console import console

    while True:
        known = place.hosts()
        with _reaching(known, place) as agents:
            while place.hosts() == known:  # a change there is an `up` or a teardown of somebody's
                document = look(settings, place, known, agents)
                if watch:
                    console.clear()
                code = show(document)
                if not watch:
                    return code
                console.flush()
                time.sleep(PAUSE_S)


@contextmanager
def _reaching(known: "Inventory | None", place: "Stack") -> "Iterator[Agents | None]":
    from pneumoctl.agents import Agents
    from pneumoctl.ssh import Connections

    if known is None:
        yield None
        return
    with Connections(known, place.ssh) as connections:
        yield Agents(connections, holder="", who="", run="")  # who leases nothing needs no name


def look(settings: "Settings", place: "Stack", known: "Inventory | None", agents: "Agents | None") -> dict[str, Any]:
    """One document on the stack."""
    from pneumoctl import survey
    from pneumoctl.aws import HALTED, HALTING
    from pneumoctl.errors import PneumoError

    seen: dict[str, Seen] = {}
    questions: dict[str, Callable[[], Any]] = {"aws": partial(_cloud, settings, place)}
    if known and agents:
        brought = survey.brought(settings, place, known)
        for host in known.hosts:
            if host.role != "train":
                questions[host.name] = partial(_host, settings, place, host, agents, seen, brought)
        questions["front door"] = partial(_door, settings, place, known)
    answers = survey.within(PATIENCE_S, questions, {"aws": CLOUD_S})
    cloud = answers["aws"]
    if isinstance(cloud, PneumoError):
        if known is None:
            raise cloud
        cloud = {"region": settings.region, "instances": (), "leases": {}, "bill": None, "said": cloud.message}
    instances = {one.id: one for one in cloud["instances"]}
    asked = "" if cloud["said"] else "gone"
    hosts = [
        _row(host, instances.get(host.instance_id), asked, seen, answers) for host in (known.hosts if known else ())
    ]
    ours = {*cloud["leases"], *(host["instance"] for host in hosts)}  # a spot instance is nobody's but its run's
    strays = [one for one in instances.values() if one.id not in ours]
    trains = [one for one in instances.values() if one.role == "train" and one.state not in HALTING | HALTED]
    gpu = [one.name for one in trains if one.id not in cloud["leases"]]
    for row in hosts:
        row["good"] = row["good"] or row["instance"] in cloud["leases"]
    door = _front(known, answers.get("front door"))
    return {
        "stack": settings.stack,
        "target": "aws",
        "region": cloud["region"],
        "exists": bool(hosts or strays),
        "up": bool(hosts)
        and all(host["good"] for host in hosts)
        and not strays
        and door["serves"]
        and not cloud["said"],
        "address": known.bastion.public_address if known else "",
        "front_door": door,
        "hosts": hosts,
        "strays": [{"instance": one.id, "name": one.name, "state": one.state} for one in strays],
        "gpu_running": gpu,
        "runs": list(cloud["leases"].values()),
        "aws": cloud["said"],
        "bill": _priced(cloud["bill"]),
    }


def _cloud(settings: "Settings", place: "Stack") -> dict[str, Any]:
    """The instances, and what bills; by the bundled prices, for AWS's own list may keep us waiting."""
    from pneumoctl import bill, gpu_watch, prices, runs, site, spending

    aws, _ = site.login(settings, place, quiet=True)  # a GPU without a lease is in the answer
    instances = aws.instances(settings.stack)
    leases = gpu_watch.leases(aws, instances, settings.stack)
    listed = prices.bundled(aws.region)
    lines = tuple(one.line for one in spending.billed(aws, settings.stack, listed))
    return {
        "region": aws.region,
        "instances": instances,
        "leases": {id: {"run": one.run, "until": runs.stamp(one.until)} for id, one in leases.items()},
        "bill": bill.Bill(lines, listed.date, listed.source),
        "said": "",
    }


def _priced(bill: "Bill | None") -> dict[str, Any] | None:
    if bill is None:
        return None
    known = bill.as_dict()
    return {name: known[name] for name in ("usd_per_hour", "usd_per_month", "at_least", "prices")}


def _host(
    settings: "Settings",
    place: "Stack",
    host: "Host",
    agents: "Agents",
    seen: "dict[str, Seen]",
    brought: "Ours | None",
) -> int | None:
    """What a host says goes to `seen` at once; returns the number of steps that `configure` would do there."""
    from pneumoctl import survey

    said = seen[host.name] = survey.see(agents, host)
    if brought is None:
        return None
    return sum(agents.pending(host, survey.steps(settings, place, host, said, agents, brought)))


def _door(settings: "Settings", place: "Stack", known: "Inventory") -> float:
    from pneumoctl import survey

    return survey.knock(survey.door(settings, place, known))


def _front(known: "Inventory | None", answer: Any) -> dict[str, Any]:
    from pneumoctl.errors import PneumoError

    said = answer.message if isinstance(answer, PneumoError) else ""
    days = round(answer, 1) if isinstance(answer, float) else None
    url = f"https://{known.bastion.public_address}" if known else ""
    return {"url": url, "serves": days is not None, "said": said, "certificate_days": days}


def _row(
    host: "Host",
    instance: Any,
    absent: str,
    seen: "Mapping[str, Seen]",
    answers: "Mapping[str, int | PneumoError | None]",
) -> dict[str, Any]:
    from pneumoctl.errors import PneumoError

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


def show(document: Mapping[str, Any]) -> int:
    """Print it; exit code 0 when every host is as it should be and the front door shows the page."""
    from pneumoctl.console import console

    console.result(document)
    if not document["exists"]:
        console.text(
            f"stack {document['stack']}: nothing of it runs in {document['region']} (pneumoctl up --target aws)"
        )
        return 1
    columns = ("host", "state", "address", "services", "release", "model", "disk", "memory", "differs")
    styles = ["" if host["good"] else "bold red" for host in document["hosts"]]
    console.table(columns, [_cells(host) for host in document["hosts"]], styles)
    for line in _told(document):
        console.text(line)
    if document["gpu_running"]:
        now = "pneumoctl up, which ends with it stopped); at once: pneumoctl gpu reap"
        console.alarm(f"the GPU host is not stopped and bills (next: {now}")
    return 0 if document["up"] else 1


def _cells(host: Mapping[str, Any]) -> tuple[str, ...]:
    code = " ".join(f"{kind} {digest}" for kind, digest in host["releases"].items() if kind != "model")
    shares = ["" if host[one] is None else f"{host[one]} %" for one in ("disk_percent", "memory_percent")]
    pending = host["steps_pending"]
    differs = (
        f"{pending} step{'s' * (pending > 1)}"
        if pending
        else "no"
        if pending == 0
        else "?"
        if host["ssh"] == "booted"
        else ""
    )
    address = host["public"] or host["private"]
    model = host["releases"].get("model", "")
    return host["name"], host["state"], address, _services(host), code, model, *shares, differs


def _services(host: Mapping[str, Any]) -> str:
    """How many of its units run, or which do not and which others failed; why nobody knows."""
    if host["ssh"] != "booted":
        return str(host["ssh"])
    wrong = [f"{unit} {state}" for unit, state in host["units"].items() if state != "active"]
    named = {f"{unit}.service" for unit in host["units"]}
    wrong += [f"{unit} failed" for unit in host["failed"] if unit not in named]
    return ", ".join(wrong) or f"{len(host['units'])} run"


def _told(document: Mapping[str, Any]) -> Iterator[str]:
    """The lines below the table."""
    from pneumoctl.bill import money

    for one in document["strays"]:
        yield f"not in the inventory: {one['name']} {one['instance']} ({one['state']}); next: pneumoctl up"
    if document["aws"]:
        yield f"AWS: {document['aws']}; whether a GPU host bills is not known"
    if any(host["steps_pending"] for host in document["hosts"]):
        yield "hosts differ from what they should be; what and how: pneumoctl plan"
    for one in document["runs"]:
        yield f"run {one['run']} goes on on the GPU host, until {one['until']} at most (pneumoctl train --gpu --resume)"
    door, bill = document["front_door"], document["bill"]
    days = door["certificate_days"]
    yield door["said"] or f"front door {door['url']} shows the page; its certificate is good for {days:.0f} days"
    price = f"; {money(bill['usd_per_hour'], bill['at_least'], 4)} an hour" if bill else ""
    word = "up" if document["up"] else "NOT AS IT SHOULD BE (next: pneumoctl up)"
    yield f"stack {document['stack']} in {document['region']}: {word}{price}"
