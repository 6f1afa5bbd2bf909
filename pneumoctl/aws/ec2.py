"""The instances of a stack as EC2 knows them, and their stop, proven."""

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
UNSEEN_S = 60.0  # EC2 may take a moment to tell of what it has just made; what it does not tell of for so long is gone
HALTED = {"stopped", "terminated"}
HALTING = {"stopping", "shutting-down"}
STACK_TAG = "pneumoctl:stack"
ROLE_TAG = "pneumoctl:role"


@dataclass(frozen=True)
class Instance:
    """An EC2 instance of a stack; `name` and `role` as in the inventory, `state` in EC2's words.

    `spot`: one of a one-time request; EC2 does not stop it, it is terminated.
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
    """The API, and the EC2 instances of stacks."""

    def instances(self, stack: str) -> list[Instance]:
        """The stack's instances that are not terminated."""
        every = self.tagged(stack, {STACK_TAG: stack})
        return sorted((one for one in every if one.state != "terminated"), key=lambda one: one.name)

    def training_hosts(self, stack: str) -> list[Instance]:
        """The stack's own, and spot ones that were made for a run."""
        return [one for one in self.instances(stack) if one.role == "train"]

    def tagged(self, stack: str, tags: Mapping[str, str]) -> list[Instance]:
        """The instances of a stack that have these tags, and those that EC2 still tells of though terminated."""
        wanted = [{"Name": f"tag:{name}", "Values": [value]} for name, value in tags.items()]
        found = self.items("ec2", "describe_instances", "Reservations", Filters=wanted)
        return [instance(one, stack) for reservation in found for one in reservation["Instances"]]

    def states(self, ids: Sequence[str]) -> dict[str, str]:
        """Instance id -> state; one that AWS has forgotten is left out."""
        wanted = [{"Name": "instance-id", "Values": list(ids)}]
        found = self.items("ec2", "describe_instances", "Reservations", Filters=wanted)
        return {one["InstanceId"]: one["State"]["Name"] for reservation in found for one in reservation["Instances"]}

    def off(self, id: str) -> bool:
        """Whether EC2 says that an instance is off, goes off or is gone; not to know is no."""
        with suppress(PneumoError):
            return self.states([id]).get(id, "terminated") in HALTING | HALTED
        return False

    def stop(
        self,
        hosts: Sequence[Instance],
        report: Callable[[dict[str, str]], None] = lambda _: None,
        timeout: float = STOP_TIMEOUT_S,
    ) -> None:
        """Stop instances, spot ones for good, and wait until EC2 says so; `report` is told the states at each look.

        A passing failure of the API does not end the wait. PneumoError at the end of it, with the command to type;
        its code is 7 when a training host is not confirmed stopped.
        """
        waiting, unseen = list(hosts), dict[str, float]()
        deadline = time.monotonic() + timeout
        why: PneumoError | None = None
        while waiting:
            try:
                states = self.states([one.id for one in waiting])
                report(states)
                waiting = [one for one in waiting if not _halted(one, states.get(one.id), unseen)]
                self._halt([one for one in waiting if states.get(one.id) in ("running", "pending")])
                self._halt_unseen([one for one in waiting if one.id in unseen])
                why = None
            except PneumoError as error:
                why = error
            hopeless = why is not None and why.details.get("aws") in ("denied", "expired", "invalid", "no credentials")
            if waiting and (hopeless or time.monotonic() > deadline):
                raise self._not_stopped(waiting, why)
            if waiting:
                time.sleep(min(POLL_S, timeout))

    def _halt(self, hosts: Sequence[Instance]) -> None:
        for spot, operation in ((False, "stop_instances"), (True, "terminate_instances")):
            ids = [one.id for one in hosts if one.spot is spot]
            if ids:
                self.call("ec2", operation, InstanceIds=ids)

    def _halt_unseen(self, hosts: Sequence[Instance]) -> None:
        """EC2 ends by its id what it does not tell of yet."""
        for one in hosts:
            try:
                self.call("ec2", "terminate_instances", InstanceIds=[one.id])
            except PneumoError as error:
                if error.details.get("aws_code") != "InvalidInstanceID.NotFound":
                    raise

    def _not_stopped(self, waiting: Sequence[Instance], why: PneumoError | None) -> PneumoError:
        gpu = any(one.role == "train" for one in waiting)
        ids = " ".join(one.id for one in waiting)
        names = ", ".join(one.name for one in waiting)
        where = f"--region {self.region}" + (f" --profile {self.profile}" if self.profile else "")
        message = f"not confirmed stopped: {names} ({ids})" + (f": {why.message}" if why else "")
        message += "; the GPU may be billing" if gpu else ""
        todo = []
        for spot, verb, end in ((False, "stop", "stopped"), (True, "terminate", "terminated")):
            if these := " ".join(one.id for one in waiting if one.spot is spot):
                todo.append(f"aws ec2 {verb}-instances {where} --instance-ids {these}")
                todo.append(f"aws ec2 wait instance-{end} {where} --instance-ids {these}")
        code = Exit.GPU_NOT_STOPPED if gpu else Exit.FAILED
        return PneumoError(message, "; then: ".join(todo), code, instances=ids.split())

    def console_output(self, instance_id: str) -> str:
        """What the instance wrote to its console, the latest where the type can say it; empty before it is there."""
        try:
            answer = self.call("ec2", "get_console_output", InstanceId=instance_id, Latest=True)
        except PneumoError as error:
            # Types on Xen, as p3, know only the output that was kept after boot.
            if error.details.get("aws_code") not in ("UnsupportedOperation", "InvalidParameterCombination"):
                raise
            answer = self.call("ec2", "get_console_output", InstanceId=instance_id)
        return str(answer.get("Output") or "")


def _halted(one: Instance, state: str | None, unseen: dict[str, float]) -> bool:
    """Whether it bills no more. `unseen`: since when EC2 is silent on spot instances; it forgets them in the end."""
    if state is not None or not one.spot:
        unseen.pop(one.id, None)
        return state in HALTED
    return time.monotonic() - unseen.setdefault(one.id, time.monotonic()) >= UNSEEN_S


def instance(one: Mapping[str, Any], stack: str) -> Instance:
    """Of what EC2 describes."""
    tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", ())}
    return Instance(
        one["InstanceId"],
        re.sub(f"^pneumoctl-{re.escape(stack)}-", "", tags.get("Name", one["InstanceId"])),
        tags.get(ROLE_TAG, ""),
        one["State"]["Name"],
        one["InstanceType"],
        one["LaunchTime"],
        one.get("PrivateIpAddress", ""),
        one.get("PublicIpAddress", ""),
        one.get("InstanceLifecycle") == "spot",
    )
