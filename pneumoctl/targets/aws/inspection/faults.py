"""What keeps a stack on aws from serving as it should, each with the next command, from `status`'s document. Pure."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from enum import IntEnum
from typing import Any

from pneumoctl.hosts import units
from pneumoctl.hosts.releases import UNITS
from pneumoctl.stack.inventory import STORE
from pneumoctl.stack.stack import use_where_made
from pneumoctl.targets.common import api_warnings, unfinished_teardown
from pneumoctl.targets.common.faults import Fault
from pneumoctl.terminal.report import counted

BASTION = "nginx"
DISK_FULL = 90  # percent; the alert DiskNearlyFull fires from there, too
ON = ("pending", "running")
STOP_GPU = "pneumoctl gpu stop"
Document = Mapping[str, Any]


class Expected(IntEnum):
    """What a command does to the stack, so that it is no fault; each includes the ones before it."""

    NOTHING = 0
    STOPPED = 1  # services are stopped, and nothing is served
    ABSENT = 2  # hosts are made or removed, and do not answer


def of_stack(document: Document) -> Iterator[Fault]:
    """Everything that is wrong, without what a command that works does; nothing if the stack serves as it should.

    After a teardown that was not completed, what it has removed or stopped is no fault; that of a running host is one.
    While its terraform still works, only a GPU host that costs money is one.
    """
    if document["aws_error"]:
        yield Fault("AWS", document["aws_error"], document["aws_next"] or "pneumoctl doctor")
    if document["unfinished_teardown"]:
        yield from _after_teardown(document)
        return
    expected = _expected(document)
    yield from _of_terraform(document)
    yield from _of_hosts(document["hosts"], expected)
    if expected < Expected.ABSENT:
        yield from _of_strays(document)
        yield from _of_import(document)
    door = document["front_door"]
    if door["error"] and not expected:
        yield Fault("", door["error"], door["next"])


def _after_teardown(document: Document) -> Iterator[Fault]:
    """A teardown that was not completed, and what is wrong with the hosts that it left: none advises `up`."""
    destroys = any(command["command"] == "terraform apply" for command in document["working"])
    teardown = unfinished_teardown.fault(document["unfinished_teardown"], destroys)
    hosts = document["hosts"]
    gpus = [host for host in hosts if host["role"] == "train" and host["state"] in (*ON, "?")]
    for gpu in gpus:  # first: a teardown takes minutes
        yield from _of_gpu(gpu)
    yield teardown
    for host in hosts:
        if host["state"] in ON and host not in gpus:
            for fault in of_host(host, Expected.ABSENT if destroys else Expected.STOPPED):
                yield replace(fault, next=teardown.next) if "pneumoctl up" in fault.next else fault


def _expected(document: Document) -> Expected:
    """What the pneumoctl that works on the stack does to it."""
    commands = {command["command"] for command in document["working"]}
    if commands & {"pneumoctl up", "pneumoctl teardown"}:
        return Expected.ABSENT
    return Expected.STOPPED if any(map(_is_pneumoctl, commands)) else Expected.NOTHING


def _is_pneumoctl(command: str) -> bool:
    return command.startswith("pneumoctl")


def _of_import(document: Document) -> Iterator[Fault]:
    if path := document["not_imported"]:
        imports = f"pneumoctl up, or: pneumoctl results import {shlex.quote(path)}"
        yield Fault(STORE, f"results in {path} were not imported into the new store", imports)


def _of_hosts(hosts: Sequence[Document], expected: Expected) -> Iterator[Fault]:
    """The faults of each host. While nginx is silent, nothing is known of the others: they are reached through it."""
    silent = [host["name"] for host in hosts if _is_silent(host)]
    behind = [name for name in silent if name != BASTION] if BASTION in silent else []
    for host in hosts:
        if host["name"] not in behind:
            yield from of_host(host, expected)
    if behind and expected < Expected.ABSENT:
        yield Fault(", ".join(behind), f"not asked, because {BASTION} does not answer", "pneumoctl up")


def _is_silent(host: Document) -> bool:
    """Whether a host that runs, as far as EC2 is known to say, has not answered."""
    runs = host["role"] != "train" and host["state"] in ("running", "?")
    return runs and host["disk_percent"] is None


def of_host(host: Document, expected: Expected = Expected.NOTHING) -> Iterator[Fault]:
    """What is wrong with a host, by its row. A GPU host is as it should be when it is stopped or works for a run."""
    name, state = host["name"], host["state"]
    absent = (
        state not in (*ON, "?") if host["role"] == "train" else state not in ("running", "?") or host["ssh"] != "booted"
    )
    if absent and expected >= Expected.ABSENT:
        return
    if host["role"] == "train":
        yield from _of_gpu(host)
    elif state not in ("running", "?"):
        yield Fault(name, f"it is {state} in EC2", "pneumoctl up")
    elif host["ssh"] != "booted":
        yield Fault(name, host["ssh"], host["next"])
    else:
        yield from _of_services(host, expected)


def _of_gpu(host: Document) -> Iterator[Fault]:
    name, state = host["name"], host["state"]
    if state == "?":
        yield Fault(name, "it is not known whether it is on and costs money", STOP_GPU)
    elif state != "stopped" and not host["leased"]:
        yield Fault(name, f"it is {state} in EC2, not stopped", STOP_GPU if state in ON else "pneumoctl up")


def _of_services(host: Document, expected: Expected) -> Iterator[Fault]:
    name, disk = host["name"], host["disk_percent"]
    if disk is not None and disk >= DISK_FULL:
        yield Fault(name, f"its disk is {disk} % full", f"pneumoctl ssh {name} -- sudo du -xhd 2 --threshold=100M /")
    if not host["units"]:
        yield Fault(name, "it does not report its services", f"pneumoctl ssh {name}")
    failed = {unit.removesuffix(".service"): "failed" for unit in host["failed"]}
    for unit, state in {**failed, **host["units"]}.items():
        if state == "inactive" and expected:
            continue
        if state == "inactive" and unit in UNITS.values():  # by `up` or `teardown`, or by hand: its log says nothing
            stopped = f"{unit} is stopped and takes no uploads, as after a command that was killed"
            yield Fault(name, stopped, f"pneumoctl configure {name}")
        elif state != "active":
            yield Fault(name, f"{unit} is {state}", _log_of(name, unit))
    if expected:  # a service that is stopped, or needs one that is, is not ready
        return
    full = host["store_warning"]
    for service, reason in host["not_ready"].items():
        logs = "pneumoctl logs redis; pneumoctl logs api" if service == "api" else f"pneumoctl logs {service}"
        yield Fault(
            name, f"{service} is not ready: {reason}", api_warnings.STORE_REMEDY if full and service == "api" else logs
        )
    if full and name == STORE and "api" not in host["not_ready"]:  # the other hosts of the API say the same
        yield Fault(name, full, api_warnings.STORE_REMEDY)
    if (failed_films := host["received_warning"]) and name == STORE:
        yield Fault(name, failed_films, api_warnings.RECEIVED_REMEDY)
    if wrong := host["clock_warning"]:
        restart = f"pneumoctl ssh {name} -- sudo systemctl restart {UNITS[host['role']]}"
        yield Fault(name, wrong, api_warnings.CLOCK_REMEDY + restart)


def _log_of(host: str, unit: str) -> str:
    """The command that shows what a unit wrote."""
    logs = {of_log: log for log, of_log in units.WITH_LOGS.items()}
    return (
        f"pneumoctl logs {logs[unit]}" if unit in logs else f"pneumoctl ssh {host} -- sudo journalctl -n 50 -u {unit}"
    )


def _of_terraform(document: Document) -> Iterator[Fault]:
    """A terraform that changes the stack without a pneumoctl, or whose last change was not completed."""
    commands = [command["command"] for command in document["working"]]
    if any(map(_is_pneumoctl, commands)):
        return
    if "terraform apply" in commands:
        left = "it still changes the stack, left by a command that was killed"
        yield Fault("terraform", left, "pneumoctl up, which waits for it")
    elif document["unfinished"]:
        lost = "its last change of the stack was not completed"
        yield Fault("terraform", lost, "pneumoctl up, which resumes it (or pneumoctl teardown)")


def _of_strays(document: Document) -> Iterator[Fault]:
    """Instances of the stack that are in no inventory."""
    strays = document["strays"]
    if strays and document["elsewhere"]:
        made = f"{counted(len(strays), 'instance')} of this stack in {document['region']}, made from another machine"
        following = f"{use_where_made(document['directory'])}; or, to remove the stack: pneumoctl teardown"
        yield Fault("", f"{made}: this one has neither its directory nor its keys", following)
    elif document["hosts"] or not document["working"]:  # otherwise a first `up` is making them
        for stray in strays:
            which = f"{stray['name']} {stray['instance']} ({stray['state']})"
            yield Fault("", f"not in the inventory: {which}", "pneumoctl up")
