"""`status` on aws: the overview of its hosts as a table, once or until interrupted."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pneumoctl.aws.bill import money
from pneumoctl.errors import Exit
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.ssh.connections import Connections
from pneumoctl.stack.inventory import Inventory
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import overview
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import Report, Table


def reports(settings: Settings, stack: Stack) -> Iterator[Report]:
    """Look anew for each report. Takes no lock and no lease: others may work meanwhile."""
    while True:
        known = stack.hosts()
        with _reaching(known, stack) as agents:
            while stack.hosts() == known:  # a change there is an `up` or a teardown of somebody's
                yield report(overview.look(settings, stack, known, agents))


@contextmanager
def _reaching(known: "Inventory | None", stack: "Stack") -> "Iterator[Agents | None]":
    if known is None:
        yield None
        return
    with Connections(known, stack.ssh) as connections:
        yield Agents(connections, holder="", who="", run="")  # who leases nothing needs no name


def report(document: Mapping[str, Any]) -> Report:
    """A table of the hosts; exit code 0 when every host is as it should be and the front door shows the page."""
    if not document["exists"]:
        line = f"stack {document['stack']}: nothing of it runs in {document['region']} (pneumoctl up --target aws)"
        return Report(document, (line,), Exit.FAILED)
    columns = ("host", "state", "address", "services", "release", "model", "disk", "memory", "differs")
    styles = ["" if host["good"] else "bold red" for host in document["hosts"]]
    table = Table(columns, [_cells(host) for host in document["hosts"]], styles)
    if document["gpu_running"]:
        now = "pneumoctl up, which ends with it stopped); at once: pneumoctl gpu reap"
        console.alarm(f"the GPU host is not stopped and bills (next: {now}")
    return Report(document, (table, *_told(document)), Exit.DONE if document["up"] else Exit.FAILED)


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
