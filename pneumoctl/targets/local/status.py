"""The status of a local stack: its processes, and the answers of its services."""

from collections.abc import Mapping, Sequence
from typing import Any

from pneumoctl.errors import Exit
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.common.ready import ready
from pneumoctl.targets.local import processes, service_states
from pneumoctl.targets.local.service_states import ServiceState
from pneumoctl.terminal.report import Report, Table


def gather_status(stack: Stack) -> dict[str, Any]:
    """The status document of a stack, from supervisord, the processes and the services, not from saved files."""
    inventory = stack.inventory()
    if inventory is None:
        left = [process.pid for process in processes.ours(stack.directory)]
        return {"stack": stack.name, "serving": False, "exists": False, "services": [], "strays": left}
    states = service_states.available_states(stack.directory)
    held = processes.listening(stack.directory)
    services = [_service(name, port, states, port in held) for name, port in inventory.ports().items()]
    serves, checks = ready(f"{inventory.url('ui')}/readyz")
    _, api = ready(f"{inventory.url('api')}/readyz", socket=stack.layout.api_socket)
    service_pids = {service["pid"] for service in services}
    strays = [] if states is not None else [p.pid for p in processes.ours(stack.directory) if p.pid not in service_pids]
    return {
        "stack": stack.name,
        "exists": True,
        "supervised": states is not None,
        "serving": serves and all(service["state"] == "RUNNING" and service["listening"] for service in services),
        "url": inventory.url("ui"),
        "services": services,
        "page": checks,
        "api": api,
        "strays": strays,
    }


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
    """The document as a table; the exit code is 1 unless the stack serves."""
    blocks: list[str | Table] = []
    if not document["exists"]:
        blocks.append(f"stack {document['stack']} does not exist (next: pneumoctl up)")
    else:
        blocks.append(_table(document["services"]))
        model = document["api"].get("checks", {}).get("model", {})
        if "version" in model:
            blocks.append(f"model version {model['version']}")
        word = "serving" if document["serving"] else "NOT SERVING (next: pneumoctl logs, pneumoctl up)"
        blocks.append(f"stack {document['stack']}: {word} at {document['url']}")
    if document["strays"]:
        pids = ", ".join(map(str, document["strays"]))
        blocks.append(f"processes without a supervisor: {pids} (next: pneumoctl up, or pneumoctl teardown)")
    return Report(document, blocks, Exit.DONE if document["serving"] else Exit.FAILED)


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
