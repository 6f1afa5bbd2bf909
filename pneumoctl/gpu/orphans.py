"""Guard 5: GPU hosts that run without a lease, of any stack: found in a region or in all, told in red, stopped."""

import atexit
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pneumoctl.aws.ec2 import ROLE_TAG, STACK_TAG, Aws, Instance
from pneumoctl.errors import PneumoError
from pneumoctl.gpu import scheduled_stop
from pneumoctl.gpu.scheduled_stop import Lease
from pneumoctl.stack import runs
from pneumoctl.stack.stack import Stack
from pneumoctl.terminal.console import console

ON = ["pending", "running"]
AT_ONCE = 8
PATIENCE_S = 3.0


@dataclass(frozen=True)
class Running:
    """A GPU host that is on. `lease` None: nothing in the account will stop it; or why nobody knows is in `unknown`."""

    stack: str
    region: str
    id: str
    type: str
    launched: datetime
    lease: Lease | None
    unknown: str = ""
    spot: bool = False

    @property
    def instance(self) -> Instance:
        """As aws.stop takes it."""
        name = f"{self.stack}'s train"
        return Instance(self.id, name, "train", "running", self.type, self.launched, "", "", self.spot)


def running(aws: Aws) -> list[Running]:
    """All GPU hosts of all stacks that are on in the region of `aws`."""
    filters = [{"Name": f"tag:{ROLE_TAG}", "Values": ["train"]}, {"Name": "instance-state-name", "Values": ON}]
    groups = aws.items("ec2", "describe_instances", "Reservations", Filters=filters)
    found = [one for group in groups for one in group["Instances"]]
    stacks = {one["InstanceId"]: _stack(one) for one in found}
    known = {stack: _known(aws, stack) for stack in set(stacks.values()) if stack}
    return [_running(aws, one, stacks[one["InstanceId"]], known) for one in found if stacks[one["InstanceId"]]]


def leases(aws: Aws, hosts: Sequence[Instance], stack: str) -> dict[str, Lease]:
    """Instance id -> the lease under which a run goes on there. PneumoError where that cannot be known."""
    on = [host for host in hosts if host.role == "train" and host.state in ON]
    known = scheduled_stop.listed(aws, stack) if on else []
    found = {host.id: scheduled_stop.covering(known, host.id, scheduled_stop.now(aws)) for host in on}
    return {id: lease for id, lease in found.items() if lease}


def _running(aws: Aws, one: dict[str, Any], stack: str, known: dict[str, list[Lease] | str]) -> Running:
    found = known[stack]
    unknown = found if isinstance(found, str) else ""
    lease = (
        None if isinstance(found, str) else scheduled_stop.covering(found, one["InstanceId"], scheduled_stop.now(aws))
    )
    spot = one.get("InstanceLifecycle") == "spot"
    return Running(stack, aws.region, one["InstanceId"], one["InstanceType"], one["LaunchTime"], lease, unknown, spot)


def _stack(one: dict[str, Any]) -> str:
    return next((str(tag["Value"]) for tag in one.get("Tags", ()) if tag["Key"] == STACK_TAG), "")


def _known(aws: Aws, stack: str) -> list[Lease] | str:
    """The leases of a stack, or why they are not known: then its host is told of, and not stopped."""
    try:
        return scheduled_stop.listed(aws, stack)
    except PneumoError as error:
        return error.message


def regions(aws: Aws) -> list[str]:
    """All that are enabled for the account."""
    wanted = [{"Name": "opt-in-status", "Values": ["opt-in-not-required", "opted-in"]}]
    return sorted(one["RegionName"] for one in aws.call("ec2", "describe_regions", Filters=wanted)["Regions"])


def everywhere(aws: Aws, names: Sequence[str]) -> Iterator[tuple[str, Aws | None, list[Running] | PneumoError]]:
    """Region by region: who is on there, or why nobody knows."""

    def look(name: str) -> tuple[str, Aws | None, list[Running] | PneumoError]:
        try:
            there = aws if name == aws.region else Aws(aws.profile, name)
            return name, there, running(there)
        except PneumoError as error:
            return name, None, error

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(look, names)


@dataclass(frozen=True)
class Found:
    """GPU hosts that are on, in any region. `orphans`: where to stop each. `unknown`: region or host -> why."""

    orphans: list[tuple[Aws, Running]]
    leased: list[Running]
    unknown: dict[str, str]


def search(aws: Aws) -> Found:
    """Ask every enabled region; one that cannot be asked is named."""
    every = Found([], [], {})
    for region, there, found in everywhere(aws, regions(aws)):
        if isinstance(found, PneumoError) or there is None:
            every.unknown[region] = str(found)
            continue
        every.orphans.extend((there, one) for one in found if one.lease is None and not one.unknown)
        every.unknown.update((f"{region}, {one.id}", one.unknown) for one in found if one.unknown)
        every.leased.extend(one for one in found if one.lease is not None)
    return every


def stop(orphans: Sequence[tuple[Aws, Running]]) -> tuple[list[Running], list[Running]]:
    """Stop them: those that were, and those on which a run began meanwhile, which are left alone.

    One that cannot be stopped keeps no other on; its PneumoError is raised when all were tried.
    """
    stopped, begun = list[Running](), list[Running]()
    trouble: PneumoError | None = None
    for there, one in orphans:
        try:
            if leases(there, [one.instance], one.stack):
                begun.append(one)
                console.note(f"{one.region}: a run has begun on {one.id}: left alone")
                continue
            there.stop([one.instance])
            stopped.append(one)
        except PneumoError as error:
            console.fail(error)
            trouble = error
    if trouble is not None:
        raise trouble
    return stopped, begun


def start_alarm(aws: Aws) -> None:
    """Search in a thread of its own for GPU hosts without a lease, and print an alarm for each.

    The command ends when the search has. A failure of the search is not reported.
    """
    threading.Thread(target=_alarm, args=(aws,), name="gpu alarm").start()


def start_alarm_for(stack: Stack) -> None:
    """Do the same for a command that does not use AWS itself; its end waits PATIENCE_S for the search at most."""
    cloud, known = stack.cloud(), stack.hosts()
    trains = known is not None and any(host.role == "train" for host in known.hosts)
    if cloud is None or not (trains or runs.folder(stack).is_dir()):
        return
    look = threading.Thread(target=lambda: _alarm(Aws(cloud.profile, cloud.region)), name="gpu alarm", daemon=True)
    look.start()
    atexit.register(look.join, PATIENCE_S)


def _alarm(aws: Aws) -> None:
    with suppress(Exception):
        for one in running(aws):
            if one.lease is None:
                console.alarm(
                    f"GPU host {one.id} ({one.type}) of stack {one.stack} runs without a lease and bills since "
                    f"{one.launched:%Y-%m-%d %H:%M} UTC; next: pneumoctl gpu reap"
                )
