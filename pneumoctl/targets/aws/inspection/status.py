"""`status` on aws: the overview of its hosts as a table, once or until interrupted."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pneumoctl.aws.bill import money, without
from pneumoctl.errors import Exit
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.ssh.connections import Connections
from pneumoctl.stack.inventory import Inventory
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.inspection import faults, overview
from pneumoctl.targets.common import faults as common_faults
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import Report, Table

SOON_DAYS = 14  # the alert CertificateExpiring fires from there, too


def reports(settings: Settings, stack: Stack) -> Iterator[Report]:
    """A new report for each item. Takes no lock and no lease, so others can work at the same time."""
    while True:
        inventory = stack.hosts()
        with _agents(inventory, stack) as agents:
            while stack.hosts() == inventory:  # it changes with an `up` or a teardown
                yield report(overview.gather_status(settings, stack, inventory, agents))


@contextmanager
def _agents(inventory: Inventory | None, stack: Stack) -> Iterator[Agents | None]:
    if inventory is None:
        yield None
        return
    with Connections(inventory, stack.ssh) as connections:
        yield Agents(connections, holder="", who="", run="")  # without a lease, no name is needed


def report(document: Mapping[str, Any]) -> Report:
    """A table of the hosts, then the faults. Exit code 0 if the stack serves as it should, 7 if a GPU may be on."""
    if not document["exists"]:
        line = f"stack {document['stack']} has no hosts in {document['region']} (pneumoctl up --target aws)"
        return Report(document, (line,), Exit.FAILED)
    if document["gpu_running"]:
        console.alarm(f"the GPU host runs and costs money; next: {faults.STOP_GPU}")
    blocks: tuple[str | Table, ...] = (*_tables(document), *common_faults.lines(document), *_lines(document))
    billed = document["gpu_running"] or document["gpu_unknown"]
    code = Exit.GPU_NOT_STOPPED if billed else Exit.DONE if document["up"] else Exit.FAILED
    return Report(document, blocks, code)


def _tables(document: Mapping[str, Any]) -> Iterator[Table]:
    """The hosts; before there is an inventory, the instances that EC2 lists."""
    if document["hosts"]:
        columns = ("host", "state", "address", "services", "release", "model", "disk", "memory", "differs")
        styles = ["" if host["good"] else "bold red" for host in document["hosts"]]
        yield Table(columns, [_cells(host) for host in document["hosts"]], styles)
    elif document["strays"]:
        rows = [(stray["name"], stray["state"], stray["instance"]) for stray in document["strays"]]
        yield Table(("host", "state", "instance"), rows)


def _cells(host: Mapping[str, Any]) -> tuple[str, ...]:
    code = " ".join(f"{kind} {digest}" for kind, digest in host["releases"].items() if kind != "model")
    shares = ["" if host[share] is None else f"{host[share]} %" for share in ("disk_percent", "memory_percent")]
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
    """How many units run, or what does not run, failed or is not ready; without facts, the reason."""
    if host["ssh"] != "booted":
        return str(host["ssh"])
    wrong = [f"{unit} {state}" for unit, state in host["units"].items() if state != "active"]
    wrong += [f"{unit} failed" for unit in host["failed"] if unit.removesuffix(".service") not in host["units"]]
    wrong += [f"{service} not ready" for service in host["not_ready"]]
    return ", ".join(wrong) or f"{len(host['units'])} run"


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    """The lines below the faults."""
    if any(host["steps_pending"] for host in document["hosts"]):
        yield "hosts differ from their desired state; to see how: pneumoctl plan"
    for run in document["runs"]:
        until = f"until {run['until']} at most (pneumoctl train --gpu --resume)"
        yield f"run {run['run']} is active on the GPU host, {until}"
    door, bill = document["front_door"], document["bill"]
    if door["serves"]:
        days = door["certificate_days"]
        soon = "; renew it soon" if days < SOON_DAYS else ""
        yield f"front door {door['url']} shows the login; its certificate is good for {days:.0f} days{soon}"
    price = f"; {money(bill['usd_per_hour'], 4, 'an hour')}{without(bill['at_least'])}" if bill else ""
    word = "up" if document["up"] else "DEGRADED" if document["hosts"] else "NOT UP"
    yield f"stack {document['stack']} in {document['region']}: {word}{price}"
