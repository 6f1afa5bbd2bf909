"""Guard 5: find GPU hosts of any stack that are on without a lease, in one region or all; report and stop them."""

import atexit
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from pneumoctl.aws.ec2 import ROLE_TAG, STACK_TAG, Aws, Instance
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import scheduled_stop
from pneumoctl.gpu.scheduled_stop import Lease
from pneumoctl.gpu.stop import Location, aws_commands, confirming
from pneumoctl.stack import runs
from pneumoctl.stack.stack import Stack
from pneumoctl.terminal.console import console

ON = ["pending", "running"]
REGIONS_AT_ONCE = 8
ARMING_S = 15.0  # from the launch of a spot instance until its stop is armed
POLL_S = 1.0
TIMEOUT_S = 3.0  # for the search, at the end of a command that does not need AWS


@dataclass(frozen=True)
class RunningGpuHost:
    """A GPU host that is pending or running.

    `lease`: its scheduled stop; None if it has none, or if the lease could not be read (`unknown` then has the reason).
    """

    stack: str
    region: str
    id: str
    type: str
    launched: datetime
    lease: Lease | None
    unknown: str = ""
    spot: bool = False

    @property
    def alarm(self) -> str:
        """The line about a host without a lease, or whose lease is not known, with the next command."""
        host, since = f"GPU host {self.id} ({self.type}) of stack {self.stack}", f"{self.launched:%Y-%m-%d %H:%M} UTC"
        where = f"--stack {shlex.quote(self.stack)} --region {self.region}"
        if self.unknown:
            unknown = f"whether its stop is armed is not known: {self.unknown}"
            return f"{host} is on since {since}; {unknown}; next: pneumoctl gpu status {where}"
        return f"{host} runs without a lease and bills since {since}; next: pneumoctl gpu stop {where}"

    @property
    def instance(self) -> Instance:
        """The host as Aws.stop takes it."""
        name = f"{self.stack}'s train"
        return Instance(self.id, name, "train", "running", self.type, self.launched, "", "", self.spot)


def running_hosts(aws: Aws) -> list[RunningGpuHost]:
    """The GPU hosts of all stacks that are pending or running in the region of `aws`."""
    filters = [{"Name": f"tag:{ROLE_TAG}", "Values": ["train"]}, {"Name": "instance-state-name", "Values": ON}]
    groups = aws.items("ec2", "describe_instances", "Reservations", Filters=filters)
    instances = [instance for group in groups for instance in group["Instances"]]
    stacks = {instance["InstanceId"]: _stack_of(instance) for instance in instances}
    leases_by_stack = {stack: _leases_or_error(aws, stack) for stack in set(stacks.values()) if stack}
    return [
        _running_host(aws, instance, stack, leases_by_stack[stack])
        for instance in instances
        if (stack := stacks[instance["InstanceId"]])
    ]


def leases(aws: Aws, hosts: Sequence[Instance], stack: str) -> dict[str, Lease]:
    """Instance id -> the lease of the run that is under way on it. Raises PneumoError if the leases cannot be read."""
    on = [host for host in hosts if host.role == "train" and host.state in ON]
    listed = scheduled_stop.listed(aws, stack) if on else []
    of_runs = [lease for lease in listed if lease.of_run]
    by_host = {host.id: scheduled_stop.lease_covering(of_runs, host.id, scheduled_stop.now(aws)) for host in on}
    return {id: lease for id, lease in by_host.items() if lease}


def awaited_lease(aws: Aws, host: Instance, stack: str) -> Lease | None:
    """The lease of a host. A spot instance exists before its stop can be armed, so it gets some seconds for it."""
    give_up = time.monotonic() + (ARMING_S if host.spot else 0.0)
    while (lease := leases(aws, [host], stack).get(host.id)) is None and time.monotonic() < give_up:
        time.sleep(POLL_S)
    return lease


def _running_host(aws: Aws, instance: dict[str, Any], stack: str, leases: list[Lease] | str) -> RunningGpuHost:
    id, kind, launched = instance["InstanceId"], instance["InstanceType"], instance["LaunchTime"]
    spot = instance.get("InstanceLifecycle") == "spot"
    if isinstance(leases, str):
        return RunningGpuHost(stack, aws.region, id, kind, launched, None, leases, spot)
    lease = scheduled_stop.lease_covering(leases, id, scheduled_stop.now(aws))
    return RunningGpuHost(stack, aws.region, id, kind, launched, lease, "", spot)


def _stack_of(instance: dict[str, Any]) -> str:
    return next((str(tag["Value"]) for tag in instance.get("Tags", ()) if tag["Key"] == STACK_TAG), "")


def _leases_or_error(aws: Aws, stack: str) -> list[Lease] | str:
    """The leases of a stack, or why they cannot be read: then its host is reported, but not stopped."""
    try:
        return scheduled_stop.listed(aws, stack)
    except PneumoError as error:
        return error.message


def regions(aws: Aws) -> list[str]:
    """The regions that are enabled for the account."""
    wanted = [{"Name": "opt-in-status", "Values": ["opt-in-not-required", "opted-in"]}]
    return sorted(region["RegionName"] for region in aws.call("ec2", "describe_regions", Filters=wanted)["Regions"])


def search_regions(
    aws: Aws, names: Sequence[str]
) -> Iterator[tuple[str, Aws | None, list[RunningGpuHost] | PneumoError]]:
    """For each region the GPU hosts that are pending or running, or why it could not be searched."""

    def search_region(name: str) -> tuple[str, Aws | None, list[RunningGpuHost] | PneumoError]:
        try:
            there = aws if name == aws.region else Aws(aws.profile, name)
            return name, there, running_hosts(there)
        except PneumoError as error:
            return name, None, error

    with ThreadPoolExecutor(REGIONS_AT_ONCE) as pool:
        yield from pool.map(search_region, names)


@dataclass(frozen=True)
class Findings:
    """GPU hosts that are pending or running, in any region.

    `orphans`: hosts without a lease, each with the Aws of its region. `unread`: hosts whose lease could not be read.
    `unknown`: region -> why it could not be searched.
    """

    orphans: list[tuple[Aws, RunningGpuHost]]
    leased: list[RunningGpuHost]
    unread: list[RunningGpuHost]
    unknown: dict[str, str]

    @property
    def exit_code(self) -> Exit:
        """The exit code once the orphans are stopped."""
        return Exit.GPU_NOT_STOPPED if self.unread else Exit.PARTLY if self.unknown else Exit.DONE


def search(location: Location) -> Findings:
    """Search every enabled region.

    Raises PneumoError: exit 7 if AWS does not say which regions are enabled, also because the profile cannot be used;
    usage if no region is set to ask in.
    """
    try:
        aws = Aws(location.profile, location.region)
        names = regions(aws)
    except PneumoError as error:
        if error.code == Exit.USAGE:
            raise
        message = f"whether a GPU host is on without a lease is not known: {error.message}"
        hint = (
            f"{error.hint}{'; then: ' if error.hint else ''}pneumoctl gpu reap; or, without pneumoctl, in each region: "
        )
        hint += aws_commands(location, usable=error.details.get("aws") != "profile")
        raise PneumoError(message, hint, Exit.GPU_NOT_STOPPED) from error
    findings = Findings([], [], [], {})
    for region, there, hosts in search_regions(aws, names):
        if isinstance(hosts, PneumoError) or there is None:
            findings.unknown[region] = str(hosts)
            continue
        findings.orphans.extend((there, host) for host in hosts if host.lease is None and not host.unknown)
        findings.unread.extend(host for host in hosts if host.unknown)
        findings.leased.extend(host for host in hosts if host.lease is not None)
    return findings


def stop(orphans: Sequence[tuple[Aws, RunningGpuHost]]) -> tuple[list[RunningGpuHost], list[RunningGpuHost]]:
    """Stop the hosts; returns those stopped, and those left on because a run has started on them since the search.

    After a failure the others are stopped, too; then its PneumoError is raised.
    """
    stopped, in_use = list[RunningGpuHost](), list[RunningGpuHost]()
    failure: PneumoError | None = None
    for there, host in orphans:
        try:
            with confirming(there, host.stack):
                if awaited_lease(there, host.instance, host.stack):
                    in_use.append(host)
                    console.note(f"{host.region}: a run has started on {host.id}: not stopped")
                    continue
                there.stop([host.instance])
            stopped.append(host)
        except PneumoError as error:
            console.fail(error)
            failure = error
    if failure is not None:
        raise failure
    return stopped, in_use


def start_alarm(aws: Aws) -> None:
    """Search in a background thread for GPU hosts without a lease, and print an alarm for each.

    The command waits for the search before it exits. A failure of the search is not reported.
    """
    threading.Thread(target=_alarm, args=(lambda: aws,), name="gpu alarm").start()


def start_alarm_for(stack: Stack) -> None:
    """Like start_alarm, for a command that does not use AWS; does nothing for a stack that never had a GPU host.

    The command waits at most TIMEOUT_S seconds for the search before it exits. It reports damaged files itself.
    """
    cloud = stack.cloud()
    if cloud is None or not (stack.may_have_training_host or runs.runs_directory(stack).is_dir()):
        return
    log_in = partial(Aws, cloud.profile, cloud.region)
    search = threading.Thread(target=_alarm, args=(log_in,), name="gpu alarm", daemon=True)
    search.start()
    atexit.register(search.join, TIMEOUT_S)


def _alarm(log_in: Callable[[], Aws]) -> None:
    with suppress(Exception):  # also of the login: the profile may be unknown
        for host in running_hosts(log_in()):
            if host.lease is None:
                console.alarm(host.alarm)
