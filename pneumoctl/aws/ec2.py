"""The EC2 instances of a stack, and how to stop them and prove it."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pneumoctl.aws.api import Api
from pneumoctl.errors import Exit, PneumoError

STOP_TIMEOUT_S = 300.0
POLL_S = 2.0
UNSEEN_S = 60.0  # EC2 may not list a new instance at once; one that it does not list for so long is gone
HALTED = {"stopped", "terminated"}
HALTING = {"stopping", "shutting-down"}
PERMANENT = ("denied", "expired", "invalid", "no credentials")  # kinds of errors that waiting does not cure
STACK_TAG = "pneumoctl:stack"
ROLE_TAG = "pneumoctl:role"


@dataclass(frozen=True)
class Instance:
    """An EC2 instance of a stack; `name` and `role` as in the inventory, `state` as EC2 names it.

    `spot`: of a one-time spot request, which can only be terminated, not stopped.
    """

    id: str
    name: str
    role: str
    state: str
    type: str
    launched: datetime
    private_ip: str
    public_ip: str
    spot: bool = False


class Aws(Api):
    """The AWS API, with operations on the instances of stacks."""

    def instances(self, stack: str) -> list[Instance]:
        """The stack's instances that are not terminated."""
        instances = self.tagged(stack, {STACK_TAG: stack})
        existing = (instance for instance in instances if instance.state != "terminated")
        return sorted(existing, key=lambda instance: instance.name)

    def training_hosts(self, stack: str) -> list[Instance]:
        """The stack's own training host, and spot instances that were launched for a run."""
        return [instance for instance in self.instances(stack) if instance.role == "train"]

    def tagged(self, stack: str, tags: Mapping[str, str]) -> list[Instance]:
        """The instances of a stack with these tags, terminated ones included while EC2 lists them."""
        wanted = [{"Name": f"tag:{name}", "Values": [value]} for name, value in tags.items()]
        reservations = self.items("ec2", "describe_instances", "Reservations", Filters=wanted)
        return [instance(each, stack) for reservation in reservations for each in reservation["Instances"]]

    def states(self, ids: Sequence[str]) -> dict[str, str]:
        """Instance id -> state; without the instances that EC2 does not list."""
        wanted = [{"Name": "instance-id", "Values": list(ids)}]
        reservations = self.items("ec2", "describe_instances", "Reservations", Filters=wanted)
        instances = (instance for reservation in reservations for instance in reservation["Instances"])
        return {instance["InstanceId"]: instance["State"]["Name"] for instance in instances}

    def off(self, id: str) -> bool:
        """Whether EC2 says that an instance is off, going off or gone; False if EC2 does not answer."""
        with suppress(PneumoError):
            return self.states([id]).get(id, "terminated") in HALTING | HALTED
        return False

    def stop(
        self,
        hosts: Sequence[Instance],
        report: Callable[[dict[str, str]], None] = lambda _: None,
        timeout: float = STOP_TIMEOUT_S,
    ) -> None:
        """Stop instances (terminate spot ones) and wait until EC2 confirms it; `report` gets the states at each poll.

        A temporary failure of the API does not end the wait. Raises PneumoError at the timeout, with the command to
        type; its code is 7 if a training host is not confirmed stopped.
        """
        waiting, unseen = list(hosts), dict[str, float]()
        deadline = time.monotonic() + timeout
        why: PneumoError | None = None
        while waiting:
            try:
                states = self.states([host.id for host in waiting])
                report(states)
                waiting = [host for host in waiting if not _halted(host, states.get(host.id), unseen)]
                self._halt([host for host in waiting if states.get(host.id) in ("running", "pending")])
                self._halt_unlisted([host for host in waiting if host.id in unseen])
                why = None
            except PneumoError as error:
                why = error
            permanent = why is not None and why.details.get("aws") in PERMANENT
            if waiting and (permanent or time.monotonic() > deadline):
                raise self._not_stopped(waiting, why)
            if waiting:
                time.sleep(min(POLL_S, timeout))

    def _halt(self, hosts: Sequence[Instance]) -> None:
        for spot, operation in ((False, "stop_instances"), (True, "terminate_instances")):
            ids = [host.id for host in hosts if host.spot is spot]
            if ids:
                self.call("ec2", operation, InstanceIds=ids)

    def _halt_unlisted(self, hosts: Sequence[Instance]) -> None:
        """Stop instances that EC2 does not list yet; it may already accept their ids."""
        for host in hosts:
            try:
                self._halt([host])
            except PneumoError as error:
                if error.details.get("aws_code") != "InvalidInstanceID.NotFound":
                    raise

    def _not_stopped(self, waiting: Sequence[Instance], why: PneumoError | None) -> PneumoError:
        gpu = any(host.role == "train" for host in waiting)
        ids = " ".join(host.id for host in waiting)
        names = ", ".join(host.name for host in waiting)
        where = f"--region {self.region}" + (f" --profile {self.profile}" if self.profile else "")
        message = f"not confirmed stopped: {names} ({ids})" + (f": {why.message}" if why else "")
        message += "; the GPU may be billing" if gpu else ""
        commands = []
        for spot, verb, end in ((False, "stop", "stopped"), (True, "terminate", "terminated")):
            if these := " ".join(host.id for host in waiting if host.spot is spot):
                commands.append(f"aws ec2 {verb}-instances {where} --instance-ids {these}")
                commands.append(f"aws ec2 wait instance-{end} {where} --instance-ids {these}")
        code = Exit.GPU_NOT_STOPPED if gpu else Exit.FAILED
        return PneumoError(message, "; then: ".join(commands), code, instances=ids.split())

    def console_output(self, instance_id: str) -> str:
        """The instance's console output, the latest one if its type supports that; empty if there is none yet."""
        try:
            answer = self.call("ec2", "get_console_output", InstanceId=instance_id, Latest=True)
        except PneumoError as error:
            # Types on Xen, such as p3, have only the output that EC2 saved after boot.
            if error.details.get("aws_code") not in ("UnsupportedOperation", "InvalidParameterCombination"):
                raise
            answer = self.call("ec2", "get_console_output", InstanceId=instance_id)
        return str(answer.get("Output") or "")


def _halted(host: Instance, state: str | None, unseen: dict[str, float]) -> bool:
    """Whether the host no longer costs money. `unseen`: id -> since when EC2 does not list this instance."""
    if state is not None:
        unseen.pop(host.id, None)
        return state in HALTED
    return time.monotonic() - unseen.setdefault(host.id, time.monotonic()) >= UNSEEN_S


def instance(described: Mapping[str, Any], stack: str) -> Instance:
    """The instance that EC2 describes."""
    tags = {tag["Key"]: tag["Value"] for tag in described.get("Tags", ())}
    return Instance(
        described["InstanceId"],
        re.sub(f"^pneumoctl-{re.escape(stack)}-", "", tags.get("Name", described["InstanceId"])),
        tags.get(ROLE_TAG, ""),
        described["State"]["Name"],
        described["InstanceType"],
        described["LaunchTime"],
        described.get("PrivateIpAddress", ""),
        described.get("PublicIpAddress", ""),
        described.get("InstanceLifecycle") == "spot",
    )
