"""Guard 1: a one-time schedule in the account that stops the GPU host; while it is armed the host has a lease.

It needs neither this machine nor the host to act. A spot instance cannot be stopped: it is terminated. This module
arms the schedule of a run, reads it back and deletes it. That of a new host's first boot is terraform's
(terraform/guard.tf): it is disabled, not deleted.
"""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pneumoctl.aws.api import steady
from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.aws.leftovers import FIRST_BOOT
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import audit

TARGET = "arn:{partition}:scheduler:::aws-sdk:ec2:"
STOP, TERMINATE = "stopInstances", "terminateInstances"
ROLE = "arn:{partition}:iam::{account}:role/pneumoctl-{stack}-scheduler-{region}"  # its name in terraform/guard.tf
ATTEMPTS = 4
PAUSE_S = 2.0
ROLE_S = 60.0  # until the services of a region know a role that IAM has just made
CLOCK_TOLERANCE_S = 3.0  # AWS gives its time in whole seconds, and the answer takes a moment
RETRIED = ("throttled", "unreachable", "internal")  # kinds of errors that may not last
MISSING = "ResourceNotFoundException"
# What an update must repeat of a schedule: it resets everything that it is not given.
_KEPT = {"Name", "GroupName", "Description", "ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow"}
_KEPT |= {"ActionAfterCompletion", "Target"}
ARMED_BY = "; armed by "  # in a schedule's description, before the user

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Lease:
    """An armed schedule: the run that it is named after, what it stops, when, the EC2 action, and who armed it."""

    run: str
    instances: tuple[str, ...]
    until: datetime
    act: str = STOP
    who: str = field(default="", compare=False)  # user@host; only shown

    def __str__(self) -> str:
        of = f" of {self.who}" if self.who else ""
        return f"{self.title}{of}, until {self.until:%Y-%m-%d %H:%M:%S} UTC at most"

    @property
    def of_run(self) -> bool:
        """Whether a run was given this lease, and not the first boot of a new host."""
        return not self.run.startswith(FIRST_BOOT)

    @property
    def title(self) -> str:
        """What the host is on for."""
        return f"run {self.run}" if self.of_run else "first boot"

    @property
    def next_command(self) -> str:
        """What somebody can do who needs the host."""
        return f"wait for it, or end it: pneumoctl runs cancel {self.run}" if self.of_run else "wait for it"

    def covers(self, instance: str, now: datetime) -> bool:
        """Whether that instance may be on at that time."""
        return instance in self.instances and self.until > now


def now(aws: Aws) -> datetime:
    """AWS's time, which deadlines use. A wrong clock of this machine, or a change of it since login, has no effect."""
    account = aws.identity()
    skew = account.skew or 0.0
    passed = steady() - account.steady - (skew if abs(skew) > CLOCK_TOLERANCE_S else 0.0)
    return account.asked + timedelta(seconds=passed)


def group(stack: str) -> str:
    """The schedule group of a stack; only its schedules may assume the stack's role."""
    return f"pneumoctl-{stack}"


def role(aws: Aws, stack: str) -> str:
    """ARN of the role that may stop the stack's GPU host, and nothing else."""
    return _format(ROLE, aws, stack)


def arm(aws: Aws, stack: str, run: str, host: Instance, until: datetime) -> Lease:
    """Create or update the schedule, then read it back. Raises PneumoError (exit 4) if it is not as requested."""
    act, who = TERMINATE if host.spot else STOP, audit.current_user()
    wanted = Lease(run, (host.id,), until.replace(microsecond=0), act, who)
    started = "it is terminated" if host.spot else "nothing was started"  # a spot instance is on from its launch
    schedule = _schedule(aws, stack, wanted)
    try:
        _retry(lambda: _put(aws, schedule))
        armed = _retry(lambda: read(aws, stack, run))
    except PneumoError as error:
        message = f"the account-side stop of the GPU cannot be armed: {error.message}; {started}"
        raise PneumoError(message, error.hint or "pneumoctl up", Exit.PREFLIGHT) from error
    if armed != wanted:
        message = f"the account-side stop of the GPU reads back as {armed!r}, not as {wanted!r}; {started}"
        raise PneumoError(message, "pneumoctl up", Exit.PREFLIGHT)
    return armed


def read(aws: Aws, stack: str, run: str) -> Lease | None:
    """The armed schedule of a run; None if there is none that would act."""
    try:
        schedule = aws.call("scheduler", "get_schedule", GroupName=group(stack), Name=run)
    except PneumoError as error:
        if error.details.get("aws_code") == MISSING:
            return None
        raise
    lease = _lease(schedule)
    # Only a schedule that would act is a lease: enabled, with the one role that may stop this host.
    return lease if lease and schedule["Target"].get("RoleArn") == role(aws, stack) else None


def listed(aws: Aws, stack: str) -> list[Lease]:
    """All schedules of a stack that would act; empty if it has no schedule group."""
    try:
        schedules = aws.items("scheduler", "list_schedules", "Schedules", GroupName=group(stack))
        names = [schedule["Name"] for schedule in schedules]
    except PneumoError as error:
        if error.details.get("aws_code") == MISSING:
            return []
        raise
    return [lease for name in names if (lease := read(aws, stack, name))]


def delete(aws: Aws, stack: str, run: str) -> None:
    """Delete a schedule, or disable that of the first boot; no error if it is gone already."""
    remove = _disable if run.startswith(FIRST_BOOT) else _delete

    def once() -> None:
        try:
            remove(aws, stack, run)
        except PneumoError as error:
            if error.details.get("aws_code") != MISSING:
                raise

    _retry(once)


def _delete(aws: Aws, stack: str, run: str) -> None:
    aws.call("scheduler", "delete_schedule", GroupName=group(stack), Name=run)


def _disable(aws: Aws, stack: str, run: str) -> None:
    schedule = aws.call("scheduler", "get_schedule", GroupName=group(stack), Name=run)
    same, lease = {name: value for name, value in schedule.items() if name in _KEPT}, _lease(schedule)
    try:
        aws.call("scheduler", "update_schedule", **same, State="DISABLED")
    except PneumoError as error:
        # AWS may refuse a time that is over. Such a schedule has acted and does not act again.
        if error.details.get("aws_code") != "ValidationException" or (lease and lease.until > now(aws)):
            raise


def lease_covering(leases: Iterable[Lease], instance: str, at: datetime) -> Lease | None:
    """The longest lease under which the instance may be on; None if it has none."""
    return max((lease for lease in leases if lease.covers(instance, at)), key=lambda lease: lease.until, default=None)


def _schedule(aws: Aws, stack: str, lease: Lease) -> dict[str, Any]:
    return {
        "GroupName": group(stack),
        "Name": lease.run,
        "Description": f"pneumoctl: stops the GPU host of {stack}{ARMED_BY}{lease.who}",
        "ScheduleExpression": f"at({lease.until:%Y-%m-%dT%H:%M:%S})",
        "ScheduleExpressionTimezone": "UTC",
        "State": "ENABLED",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": _format(TARGET, aws, stack) + lease.act,
            "RoleArn": role(aws, stack),
            "Input": json.dumps({"InstanceIds": list(lease.instances)}),
            "RetryPolicy": {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86400},
        },
    }


def _format(pattern: str, aws: Aws, stack: str) -> str:
    account = aws.identity()
    return pattern.format(partition=account.arn.split(":")[1], account=account.id, stack=stack, region=aws.region)


def _put(aws: Aws, schedule: dict[str, Any]) -> None:
    """Create the schedule, or update it if it exists, for example because the answer to an earlier create was lost."""
    try:
        aws.call("scheduler", "create_schedule", **schedule)
    except PneumoError as error:
        if error.details.get("aws_code") != "ConflictException":
            raise
        aws.call("scheduler", "update_schedule", **schedule)


def _lease(schedule: dict[str, Any]) -> Lease | None:
    """The lease that a schedule gives; None if it is disabled or not one of pneumoctl's."""
    expression, target = schedule.get("ScheduleExpression", ""), schedule.get("Target", {})
    if schedule.get("State") != "ENABLED" or schedule.get("ScheduleExpressionTimezone", "UTC") != "UTC":
        return None
    try:
        until = datetime.fromisoformat(expression.removeprefix("at(").removesuffix(")")).replace(tzinfo=UTC)
        instances = tuple(json.loads(target["Input"])["InstanceIds"])
    except (ValueError, KeyError, TypeError):
        return None
    service, _, act = target.get("Arn", "").rpartition(":")
    if not service.endswith(":aws-sdk:ec2") or act not in (STOP, TERMINATE):
        return None
    _, _, who = schedule.get("Description", "").partition(ARMED_BY)
    return Lease(schedule["Name"], instances, until, act, who)


def _retry(ask: Callable[[], Answer]) -> Answer:
    """Retry after errors that may not last, ATTEMPTS times in all; longer if the scheduler refuses a new role."""
    left, end = ATTEMPTS, time.monotonic() + ROLE_S
    while True:
        try:
            return ask()
        except PneumoError as error:
            left -= 1
            again = left and error.details.get("aws") in RETRIED
            if not again and not (_role_is_new(error) and time.monotonic() < end):
                raise
        time.sleep(PAUSE_S)


def _role_is_new(error: PneumoError) -> bool:
    """Whether the scheduler refuses the role, as it does for some seconds after IAM made it."""
    return error.details.get("aws_code") == "ValidationException" and "assume the role" in error.message
