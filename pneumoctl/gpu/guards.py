"""What the stack's GPU does now, the state of each of its guards, and the drills that prove two of them."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from pneumoctl.aws import prices
from pneumoctl.aws.bill import money
from pneumoctl.aws.ec2 import HALTED, HALTING, Aws, Instance
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import attribution, scheduled_stop
from pneumoctl.gpu import stop as gpu
from pneumoctl.gpu.scheduled_stop import Lease
from pneumoctl.gpu.signals import Interrupted, Interrupts
from pneumoctl.gpu.stop import SETTLE_S
from pneumoctl.stack import runs
from pneumoctl.stack.stack import Stack
from pneumoctl.terminal.console import console

POLL_S = 3.0
# Drill -> until the account's own stop, until the guard must have acted (the host's timer waits ten minutes when idle).
DRILLS = {"schedule": (120.0, 300.0), "idle": (1500.0, 1200.0)}
WHOSE = {"schedule": attribution.SCHEDULE, "idle": attribution.TIMER}


@dataclass(frozen=True)
class Gpu:
    """A GPU host, what it bills, and its lease."""

    host: Instance
    lease: Lease | None
    usd_per_hour: float | None
    hours: float

    @property
    def bills(self) -> bool:
        """Whether it is on, or on its way up or down."""
        return self.host.state not in HALTED

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        lease = {"run": self.lease.run, "until": runs.stamp(self.lease.until)} if self.lease else None
        spent = self.hours * self.usd_per_hour if self.usd_per_hour is not None and self.bills else None
        known = {name: getattr(self.host, name) for name in ("id", "name", "type", "state")}
        return {**known, "bills": self.bills, "usd_per_hour": self.usd_per_hour, "usd_so_far": spent, "lease": lease}

    def line(self) -> str:
        """For a person."""
        price = f"{'spot, at most ' if self.host.spot else ''}{money(self.usd_per_hour, digits=4)} an hour"
        if not self.bills:
            return f"{self.host.name} {self.host.id} ({self.host.type}): {self.host.state}; {price} while it is on"
        lease = f"run {self.lease.run}, at most until {self.lease.until:%F %T} UTC" if self.lease else "NO LEASE"
        hint = "" if self.lease else "; next: pneumoctl gpu stop"
        return f"{self.host.name} {self.host.id} ({self.host.type}): {self.host.state}, {price}, {lease}{hint}"


@dataclass(frozen=True)
class Guard:
    """One guard: what it is, whether it stands, and what is known of it."""

    number: int
    what: str
    good: bool
    state: str

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def cells(self) -> tuple[str, str, str]:
        """For a table."""
        return str(self.number), self.what, self.state


def look(aws: Aws, stack: Stack) -> list[Gpu]:
    """The stack's GPU hosts. PneumoError if EC2 or the scheduler does not say."""
    hosts = aws.training_hosts(stack.name)
    if not hosts:
        return []
    listed, leases, now = prices.bundled(aws.region), scheduled_stop.listed(aws, stack.name), scheduled_stop.now(aws)
    return [
        Gpu(
            host,
            scheduled_stop.covering(leases, host.id, now),
            listed.of(host.type),
            max((now - host.launched).total_seconds(), 0.0) / 3600,
        )
        for host in hosts
    ]


def guards(aws: Aws, stack: Stack) -> list[Guard]:
    """All six; what lies on the host is known while it is on, and drilled."""
    found = look(aws, stack)
    bills = [one for one in found if one.bills]
    unleased = [one for one in bills if not one.lease]
    leases = ", ".join(f"{one.lease.run} until {one.lease.until:%F %T} UTC" for one in bills if one.lease)
    behaviour = all(gpu.ends_by_itself(aws, one.host) for one in found)
    return [
        Guard(
            0, "up leaves it stopped", not unleased, "on" if bills else "stopped" if found else "there is no GPU host"
        ),
        _scheduler(aws, stack, leases),
        Guard(2, "the host's own timer", behaviour, _on_host(behaviour) + "; drill: gpu guard --drill idle"),
        Guard(3, "the unit powers it off", behaviour, _on_host(behaviour)),
        Guard(4, "the client stops it", True, "in every train --gpu"),
        Guard(5, "told in red", not unleased, f"{len(unleased)} on without a lease; pneumoctl gpu reap: all regions"),
    ]


def _scheduler(aws: Aws, stack: Stack, leases: str) -> Guard:
    role = scheduled_stop.role(aws, stack.name).rpartition("/")[2]
    what = "the account's stop"
    try:
        aws.call("iam", "get_role", RoleName=role)
        aws.call("scheduler", "get_schedule_group", Name=scheduled_stop.group(stack.name))
    except PneumoError as error:
        return Guard(1, what, False, f"{error.message}; next: pneumoctl up")
    return Guard(1, what, True, (f"armed: {leases}" if leases else "ready") + "; drill: gpu guard --drill schedule")


def _on_host(stops: bool) -> str:
    return "powered off, EC2 stops it" if stops else "POWERED OFF, EC2 DOES NOT STOP IT; next: pneumoctl up"


def drill(aws: Aws, stack: Stack, host: Instance, name: str) -> dict[str, Any]:
    """Start the host with nothing to do and a lease, and only look on; stopped by us when the guard is late."""
    if host.state != "stopped":
        raise PneumoError(f"the GPU host is {host.state}, not stopped", "pneumoctl gpu status", Exit.LOCKED)
    lease_s, patience = DRILLS[name]
    run, began = runs.new_id(scheduled_stop.now(aws)), time.monotonic()
    until = scheduled_stop.now(aws).replace(microsecond=0) + timedelta(seconds=lease_s)
    said, good = "", False
    with Interrupts(lambda text: console.note(text, "yellow")) as interrupts:
        scheduled_stop.arm(aws, stack.name, run, host, until)
        try:
            with interrupts.raising():
                aws.call("ec2", "start_instances", InstanceIds=[host.id])
                good, said = _off(aws, host, began + patience, lambda: console.note(f"  {host.name} is on"))
        except Interrupted as stop:
            console.note(str(stop))
        finally:
            took = round(time.monotonic() - began)
            aws.stop([host])
            time.sleep(SETTLE_S)
            aws.stop([host])
            scheduled_stop.delete(aws, stack.name, run)
    guard = _who(aws, host, said, late=scheduled_stop.now(aws) >= until) if good else attribution.CLIENT
    return {"drill": name, "good": guard == WHOSE[name], "seconds": took, "guard": guard}


def _off(aws: Aws, host: Instance, deadline: float, started: Callable[[], None]) -> tuple[bool, str]:
    """Whether it went off by itself in time, and what its console said last."""
    said, was_on = "", False
    while time.monotonic() < deadline:
        time.sleep(POLL_S)
        with suppress(PneumoError):
            state = aws.states([host.id]).get(host.id)
            if state == "running" and not was_on:
                was_on = True
                started()
            if was_on and state in HALTING | HALTED:
                return True, said
            said = aws.console_output(host.id) or said
    return False, said


def _who(aws: Aws, host: Instance, said: str, late: bool) -> str:
    groups = aws.items("ec2", "describe_instances", "Reservations", InstanceIds=[host.id])
    (found,) = [one for group in groups for one in group["Instances"]]
    reason = (found.get("StateReason") or {}).get("Code", "")
    return attribution.stopper(said, reason, asked=False, late=late, over=False)
