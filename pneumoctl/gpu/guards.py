"""The state of the stack's GPU hosts and of each guard, and the drills that prove two of the guards."""

import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from pneumoctl.aws import prices
from pneumoctl.aws.bill import money
from pneumoctl.aws.ec2 import HALTED, HALTING, Aws, Instance
from pneumoctl.aws.leftovers import FIRST_BOOT
from pneumoctl.errors import PneumoError
from pneumoctl.gpu import attribution, scheduled_stop
from pneumoctl.gpu import stop as gpu
from pneumoctl.gpu.scheduled_stop import Lease
from pneumoctl.gpu.signals import Interrupted, Interrupts
from pneumoctl.gpu.stop import SETTLE_S
from pneumoctl.stack import runs
from pneumoctl.stack.stack import Stack
from pneumoctl.terminal.console import console

POLL_S = 3.0
# Drill -> seconds until the account-side stop, and until the guard must have acted. The host's timer acts after it has
# been idle for ten minutes.
DRILLS = {"schedule": (120.0, 300.0), "idle": (1500.0, 1200.0)}
EXPECTED = {"schedule": attribution.SCHEDULE, "idle": attribution.TIMER}


@dataclass(frozen=True)
class Gpu:
    """A GPU host, its price, how long it has been on, and its lease."""

    host: Instance
    lease: Lease | None
    usd_per_hour: float | None
    hours: float

    @property
    def bills(self) -> bool:
        """Whether the host costs money: it is not off; starting and stopping hosts cost money, too."""
        return self.host.state not in HALTED

    def document(self) -> dict[str, Any]:
        """The JSON value."""
        until = runs.format_time(self.lease.until) if self.lease else ""
        lease = {"run": self.lease.run, "until": until, "who": self.lease.who} if self.lease else None
        spent = self.hours * self.usd_per_hour if self.usd_per_hour is not None and self.bills else None
        host = {name: getattr(self.host, name) for name in ("id", "name", "type", "state")}
        return {**host, "bills": self.bills, "usd_per_hour": self.usd_per_hour, "usd_so_far": spent, "lease": lease}

    def line(self) -> str:
        """One line of text about the host."""
        price = f"{'spot, at most ' if self.host.spot else ''}{money(self.usd_per_hour, 4, 'an hour')}"
        if not self.bills:
            return f"{self.host.name} {self.host.id} ({self.host.type}): {self.host.state}; {price} while it is on"
        lease = self.lease or "NO LEASE; next: pneumoctl gpu stop"
        return f"{self.host.name} {self.host.id} ({self.host.type}): {self.host.state}, {price}, {lease}"


@dataclass(frozen=True)
class Guard:
    """One guard: its number, what it does, whether it is in place, and its state in words."""

    number: int
    what: str
    good: bool
    state: str

    def document(self) -> dict[str, Any]:
        """The JSON value."""
        return asdict(self)

    def cells(self) -> tuple[str, str, str]:
        """The cells of a table row."""
        return str(self.number), self.what, self.state


def gpu_hosts(aws: Aws, stack: Stack) -> list[Gpu]:
    """The stack's GPU hosts. Raises PneumoError if EC2 or the scheduler does not answer."""
    hosts = aws.training_hosts(stack.name)
    if not hosts:
        return []
    on = any(host.state not in HALTED for host in hosts)
    leases = scheduled_stop.listed(aws, stack.name) if on else []
    listed, now = prices.bundled(aws.region), scheduled_stop.now(aws)
    return [
        Gpu(
            host,
            scheduled_stop.lease_covering(leases, host.id, now),
            listed.of(host.type),
            max((now - host.launched).total_seconds(), 0.0) / 3600,
        )
        for host in hosts
    ]


def guards(aws: Aws, stack: Stack) -> list[Guard]:
    """The guards, and the lease that a GPU host must have. Those on the host itself can only be proven by a drill."""
    hosts = gpu_hosts(aws, stack)
    on = [host for host in hosts if host.bills]
    unleased = [host for host in on if not host.lease]
    leases = ", ".join(f"{host.lease.title} until {host.lease.until:%F %T} UTC" for host in on if host.lease)
    behaviour = all(gpu.shutdown_ends_billing(aws, each.host) for each in hosts)
    state = "on" if on else "stopped" if hosts else "there is no GPU host"
    return [
        Guard(0, "up leaves the host stopped", not unleased, state),
        _scheduler(aws, stack, leases),
        Guard(2, "the host's own timer", behaviour, _on_host(behaviour) + "; drill: gpu guard --drill idle"),
        Guard(3, "the unit powers the host off", behaviour, _on_host(behaviour)),
        Guard(4, "the client stops the host", True, "in every train --gpu"),
        Guard(5, "every command alarms", not unleased, f"{len(unleased)} on without a lease; all regions: gpu reap"),
    ]


def _scheduler(aws: Aws, stack: Stack, leases: str) -> Guard:
    role = scheduled_stop.role(aws, stack.name).rpartition("/")[2]
    what = "the account-side stop"
    try:
        aws.call("iam", "get_role", RoleName=role)
        aws.call("scheduler", "get_schedule_group", Name=scheduled_stop.group(stack.name))
    except PneumoError as error:
        return Guard(1, what, False, f"{error.message}; next: pneumoctl up")
    return Guard(1, what, True, (f"armed: {leases}" if leases else "ready") + "; drill: gpu guard --drill schedule")


def _on_host(stops: bool) -> str:
    return "powered off, EC2 stops it" if stops else "POWERED OFF, EC2 DOES NOT STOP IT; next: pneumoctl up"


def drill(aws: Aws, stack: Stack, host: Instance, name: str) -> dict[str, Any]:
    """Start the host with a lease and no run, and wait for the guard; stop the host if the guard is late."""
    if host.state != "stopped":
        raise gpu.in_use(aws, stack.name, host, host.state)
    lease_s, timeout = DRILLS[name]
    run, began = runs.new_id(scheduled_stop.now(aws)), time.monotonic()
    until = scheduled_stop.now(aws).replace(microsecond=0) + timedelta(seconds=lease_s)
    console_text, ended = "", False
    with Interrupts(lambda text: console.note(text, "yellow")) as interrupts:
        scheduled_stop.delete(aws, stack.name, FIRST_BOOT + host.id)
        scheduled_stop.arm(aws, stack.name, run, host, until)
        try:
            with interrupts.raising():
                aws.call("ec2", "start_instances", InstanceIds=[host.id])
                ended, console_text = _wait_until_off(aws, host, began + timeout)
        except Interrupted as stop:
            console.note(str(stop))
        finally:
            took = round(time.monotonic() - began)
            aws.stop([host])
            time.sleep(SETTLE_S)
            aws.stop([host])
            scheduled_stop.delete(aws, stack.name, run)
    guard = _stopped_by(aws, host, console_text, late=scheduled_stop.now(aws) >= until) if ended else attribution.CLIENT
    return {"drill": name, "good": guard == EXPECTED[name], "seconds": took, "guard": guard}


def _wait_until_off(aws: Aws, host: Instance, deadline: float) -> tuple[bool, str]:
    """Whether the host went off by itself in time, and its last console output."""
    console_text, was_on = "", False
    while time.monotonic() < deadline:
        time.sleep(POLL_S)
        with suppress(PneumoError):
            state = aws.states([host.id]).get(host.id)
            if state == "running" and not was_on:
                was_on = True
                console.note(f"  {host.name} is on")
            if was_on and state in HALTING | HALTED:
                return True, console_text
            console_text = aws.console_output(host.id) or console_text
    return False, console_text


def _stopped_by(aws: Aws, host: Instance, console_text: str, late: bool) -> str:
    groups = aws.items("ec2", "describe_instances", "Reservations", InstanceIds=[host.id])
    (described,) = [instance for group in groups for instance in group["Instances"]]
    reason = (described.get("StateReason") or {}).get("Code", "")
    return attribution.stopped_by(console_text, reason, stopped_here=False, late=late, unit_ended=False)
