"""Guard 1: a one-time stop of the GPU host that the account itself keeps; while it is armed the host has its lease.

A spot instance cannot be stopped: it is terminated. It needs neither this machine nor the host. The tool's part is only
to arm it, to read it back, and to take it away.
"""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pneumoctl.aws.api import steady
from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.errors import Exit, PneumoError

TARGET = "arn:{partition}:scheduler:::aws-sdk:ec2:"
STOP, TERMINATE = "stopInstances", "terminateInstances"
ROLE = "arn:{partition}:iam::{account}:role/pneumoctl-{stack}-scheduler-{region}"  # terraform/guard.tf names it so
ATTEMPTS = 4
PAUSE_S = 2.0
UNSURE_S = 3.0  # AWS tells its time in whole seconds, and the answer takes a moment
PASSING = ("throttled", "unreachable", "trouble")  # kinds of trouble that may be over in a moment
MISSING = "ResourceNotFoundException"

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Lease:
    """An armed stop: the run that it is named by, what it stops, and when."""

    run: str
    instances: tuple[str, ...]
    until: datetime
    act: str = STOP

    def covers(self, instance: str, now: datetime) -> bool:
        """Whether that instance may run."""
        return instance in self.instances and self.until > now


def now(aws: Aws) -> datetime:
    """AWS's time, whatever this machine's clock says, and though it be set meanwhile: the deadline is kept by AWS's."""
    account = aws.identity()
    skew = account.skew or 0.0
    passed = steady() - account.steady - (skew if abs(skew) > UNSURE_S else 0.0)
    return account.asked + timedelta(seconds=passed)


def group(stack: str) -> str:
    """The schedule group of a stack; its role obeys this group alone."""
    return f"pneumoctl-{stack}"


def role(aws: Aws, stack: str) -> str:
    """ARN of the role that may stop the stack's GPU host, and nothing else."""
    return _named(ROLE, aws, stack)


def arm(aws: Aws, stack: str, run: str, host: Instance, until: datetime) -> Lease:
    """Arm the stop, or move it, and read it back. PneumoError (exit 4) unless it is there as wished."""
    wanted = Lease(run, (host.id,), until.replace(microsecond=0), TERMINATE if host.spot else STOP)
    started = "it is terminated" if host.spot else "nothing was started"  # a spot instance cannot be had switched off
    schedule = _schedule(aws, stack, wanted)
    try:
        _tried(lambda: _put(aws, schedule))
        found = _tried(lambda: read(aws, stack, run))
    except PneumoError as error:
        message = f"the account-side stop of the GPU cannot be armed: {error.message}; {started}"
        raise PneumoError(message, error.hint, Exit.PREFLIGHT) from error
    if found != wanted:
        message = f"the account-side stop of the GPU reads back as {found}, not as {wanted}; {started}"
        raise PneumoError(message, "pneumoctl up", Exit.PREFLIGHT)
    return found


def read(aws: Aws, stack: str, run: str) -> Lease | None:
    """The armed stop of a run; None if there is none that would act."""
    try:
        found = aws.call("scheduler", "get_schedule", GroupName=group(stack), Name=run)
    except PneumoError as error:
        if error.details.get("aws_code") == MISSING:
            return None
        raise
    lease = _lease(found)
    # Only what would act is a lease: enabled, with the one role that may stop this host.
    return lease if lease and found["Target"].get("RoleArn") == role(aws, stack) else None


def listed(aws: Aws, stack: str) -> list[Lease]:
    """All stops of a stack that would act; none where it has no group."""
    try:
        names = [one["Name"] for one in aws.items("scheduler", "list_schedules", "Schedules", GroupName=group(stack))]
    except PneumoError as error:
        if error.details.get("aws_code") == MISSING:
            return []
        raise
    return [lease for name in names if (lease := read(aws, stack, name))]


def delete(aws: Aws, stack: str, run: str) -> None:
    """Take a stop away; gone already is done."""

    def once() -> None:
        try:
            aws.call("scheduler", "delete_schedule", GroupName=group(stack), Name=run)
        except PneumoError as error:
            if error.details.get("aws_code") != MISSING:
                raise

    _tried(once)


def covering(leases: Iterable[Lease], instance: str, at: datetime) -> Lease | None:
    """The lease under which an instance runs, the longest; None: it bills without one."""
    return max((one for one in leases if one.covers(instance, at)), key=lambda one: one.until, default=None)


def _schedule(aws: Aws, stack: str, lease: Lease) -> dict[str, Any]:
    return {
        "GroupName": group(stack),
        "Name": lease.run,
        "Description": f"pneumoctl: stops the GPU host of {stack}",
        "ScheduleExpression": f"at({lease.until:%Y-%m-%dT%H:%M:%S})",
        "ScheduleExpressionTimezone": "UTC",
        "State": "ENABLED",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": _named(TARGET, aws, stack) + lease.act,
            "RoleArn": role(aws, stack),
            "Input": json.dumps({"InstanceIds": list(lease.instances)}),
            "RetryPolicy": {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86400},
        },
    }


def _named(pattern: str, aws: Aws, stack: str) -> str:
    account = aws.identity()
    return pattern.format(partition=account.arn.split(":")[1], account=account.id, stack=stack, region=aws.region)


def _put(aws: Aws, schedule: dict[str, Any]) -> None:
    """Make it; one that is there, as after an answer that was lost, becomes this one."""
    try:
        aws.call("scheduler", "create_schedule", **schedule)
    except PneumoError as error:
        if error.details.get("aws_code") != "ConflictException":
            raise
        aws.call("scheduler", "update_schedule", **schedule)


def _lease(found: dict[str, Any]) -> Lease | None:
    """What a schedule would do; None for one that is off, or none of ours."""
    expression, target = found.get("ScheduleExpression", ""), found.get("Target", {})
    if found.get("State") != "ENABLED" or found.get("ScheduleExpressionTimezone", "UTC") != "UTC":
        return None
    try:
        until = datetime.fromisoformat(expression.removeprefix("at(").removesuffix(")")).replace(tzinfo=UTC)
        instances = tuple(json.loads(target["Input"])["InstanceIds"])
    except (ValueError, KeyError, TypeError):
        return None
    service, _, act = target.get("Arn", "").rpartition(":")
    if not service.endswith(":aws-sdk:ec2") or act not in (STOP, TERMINATE):
        return None
    return Lease(found["Name"], instances, until, act)


def _tried(ask: Callable[[], Answer]) -> Answer:
    """Again after what may pass, a few times."""
    for left in range(ATTEMPTS - 1, -1, -1):
        try:
            return ask()
        except PneumoError as error:
            if not left or error.details.get("aws") not in PASSING:
                raise
        time.sleep(PAUSE_S)
    raise AssertionError("not reached")
