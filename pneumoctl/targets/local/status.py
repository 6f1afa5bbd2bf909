"""The status of a local stack: its processes, the answers of its services, and what is wrong with them."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pneumoctl.errors import Exit
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.common import api_warnings, faults, unfinished_teardown
from pneumoctl.targets.common.faults import Fault
from pneumoctl.targets.common.ready import ready, reason
from pneumoctl.targets.local import preflight, processes, service_states
from pneumoctl.targets.local.service_states import ServiceState
from pneumoctl.terminal.report import Report, Table

_STOPS = ("RUNNING", "STOPPED", "STOPPING", "STARTING")  # while a command stops and starts services


def gather_status(stack: Stack) -> dict[str, Any]:
    """The status document of a stack, from supervisord, the processes and the services, not from saved files."""
    inventory = stack.inventory()
    working = faults.working(stack)
    unfinished = None if working else unfinished_teardown.find(stack)
    shared: dict[str, Any] = {"stack": stack.name, "working": working, "unfinished_teardown": unfinished}
    if inventory is None:
        left = [process.pid for process in processes.ours(stack.directory)]
        document = {**shared, "serving": False, "exists": False, "services": [], "strays": left}
        return {**document, "faults": faults.as_dicts([*_teardown(document), *_strays(document)])}
    states = service_states.available_states(stack.directory)
    held = processes.listening(stack.directory)
    services = [_service(name, port, states, port in held) for name, port in inventory.ports().items()]
    serves, checks = ready(f"{inventory.url('ui')}/readyz")
    _, api = ready(f"{inventory.url('api')}/readyz", socket=stack.layout.api_socket)
    service_pids = {service["pid"] for service in services}
    strays = [] if states is not None else [p.pid for p in processes.ours(stack.directory) if p.pid not in service_pids]
    document = {
        **shared,
        "exists": True,
        "supervised": states is not None,
        "serving": serves and all(service["state"] == "RUNNING" and service["listening"] for service in services),
        "url": inventory.url("ui"),
        "services": services,
        "page": checks,
        "api": api,
        "disk_free_mb": shutil.disk_usage(stack.directory).free // 2**20,
        "strays": strays,
    }
    return {**document, "faults": faults.as_dicts(_faults(document, serves))}


def _faults(document: Mapping[str, Any], page_ready: bool) -> Iterator[Fault]:
    """What is wrong with a stack that exists.

    A teardown stops its services, so they are no faults after one. If they serve, it has removed nothing. Nor are those
    that a command stops which works on the stack.
    """
    working = bool(document["working"])
    if document["unfinished_teardown"] and not document["serving"]:
        yield from _teardown(document)
    elif not document["supervised"]:
        if not working:
            yield Fault("", "no supervisor runs its services", "pneumoctl up")
    else:
        yield from _of_services(document["services"], working)
        if not page_ready and not working:
            yield _not_ready(document)
        elif said := api_warnings.of_store(document["api"]):
            yield Fault("redis", said, api_warnings.STORE_REMEDY)
        if said := api_warnings.of_received(document["api"]):
            yield Fault("api", said, api_warnings.RECEIVED_REMEDY)
        yield from _of_clock(document)
    if document["disk_free_mb"] < preflight.DISK_MB:
        free = f"{document['disk_free_mb']} MB of the disk are free, and `up` needs {preflight.DISK_MB} MB"
        yield Fault("", free, "free some, then: pneumoctl status")
    yield from _strays(document)


def _of_clock(document: Mapping[str, Any]) -> Iterator[Fault]:
    if said := api_warnings.of_clock(document["api"]):
        pid = next((service["pid"] for service in document["services"] if service["name"] == "api"), 0)
        # 0 while it is restarted: that would be a signal to all that runs in the reader's terminal.
        restart = f"kill -HUP {pid}" if pid else "pneumoctl status says how, once it runs again"
        yield Fault("api", said, api_warnings.CLOCK_REMEDY + restart)


def _not_ready(document: Mapping[str, Any]) -> Fault:
    """Which of the two is not ready; the page is not if the API is not."""
    api = document["api"]
    name, answer = ("web page", document["page"]) if api.get("status") == "ready" else ("API", api)
    remedy = api_warnings.STORE_REMEDY if api_warnings.of_store(api) else "pneumoctl logs"
    return Fault("", f"the {name} is not ready: {reason(answer)}", remedy)


def _teardown(document: Mapping[str, Any]) -> Iterator[Fault]:
    if document["unfinished_teardown"]:
        yield unfinished_teardown.fault(document["unfinished_teardown"])


def _of_services(services: Sequence[Mapping[str, Any]], working: bool) -> Iterator[Fault]:
    for service in services:
        logs = f"pneumoctl logs {service['name']}; pneumoctl up"
        if service["state"] == "STOPPED" and not working:  # supervisord never stops a service by itself
            what = "it is stopped: an up or a teardown was interrupted"
            yield Fault(service["name"], what, "pneumoctl up; or: pneumoctl teardown")
        elif service["state"] not in _STOPS if working else service["state"] != "RUNNING":
            yield Fault(service["name"], f"it is {service['state'].lower()}", logs)
        elif not service["listening"] and not working:
            yield Fault(service["name"], f"it does not listen on port {service['port']}", logs)


def _strays(document: Mapping[str, Any]) -> Iterator[Fault]:
    if document["strays"] and not document["working"]:
        pids = ", ".join(map(str, document["strays"]))
        ends = "pneumoctl teardown" if document["unfinished_teardown"] else "pneumoctl up, or pneumoctl teardown"
        yield Fault("", f"processes without a supervisor: {pids}", ends)


def _service(name: str, port: int, states: Mapping[str, ServiceState] | None, listening: bool) -> dict[str, Any]:
    import psutil

    state = (states or {}).get(name)
    memory = 0
    if state and state.pid:
        try:
            process = psutil.Process(state.pid)
            memory = sum(member.memory_info().rss for member in (process, *process.children(recursive=True)))
        except psutil.Error:
            memory = 0
    return {
        "name": name,
        "state": state.state if state else "NOT SUPERVISED",
        "pid": state.pid if state else 0,
        "uptime_s": round(state.uptime) if state else 0,
        "memory_mb": memory // 2**20,
        "port": port,
        "listening": listening,  # the service itself listens; another program on its port does not count
    }


def report(document: Mapping[str, Any]) -> Report:
    """The document as a table and its faults; the exit code is 1 unless the stack serves and has none."""
    blocks: list[str | Table] = []
    if document["exists"]:
        blocks.append(_table(document["services"]))
        model = document["api"].get("checks", {}).get("model", {})
        if "version" in model:
            blocks.append(f"model version {model['version']}")
        word = "serving" if document["serving"] else "NOT SERVING"
        last = f"stack {document['stack']}: {word} at {document['url']}"
    elif document["working"]:
        last = f"stack {document['stack']} is not up yet"
    elif document["unfinished_teardown"]:
        last = f"stack {document['stack']} is partly removed"
    else:
        last = f"stack {document['stack']} does not exist (next: pneumoctl up)"
    blocks += [*faults.lines(document), last]
    good = document["serving"] and not document["faults"]
    return Report(document, blocks, Exit.DONE if good else Exit.FAILED)


def _table(services: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            service["name"],
            service["state"].lower(),
            str(service["pid"] or "-"),
            f"{service['uptime_s']} s",
            f"{service['memory_mb']} MB",
            f"{service['port']}{'' if service['listening'] else ' (closed)'}",
        )
        for service in services
    ]
    good = [service["state"] == "RUNNING" and service["listening"] for service in services]
    columns = ("service", "state", "pid", "uptime", "memory", "port")
    return Table(columns, rows, ["" if healthy else "bold red" for healthy in good])
