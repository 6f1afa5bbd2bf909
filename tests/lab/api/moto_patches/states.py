"""Start, stop and terminate instances."""

from collections.abc import Callable
from typing import Any

from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instances import Instance, InstanceBackend, StateReason
from moto.ec2.responses.instances import InstanceResponse

from tests.lab.api.moto_patches.patch import replaces
from tests.lab.api.request import AGENTS

INSTANCE_INITIATED = StateReason(
    "Client.InstanceInitiatedShutdown: Instance initiated shutdown", "Client.InstanceInitiatedShutdown"
)


def _check_not_terminated(backend: Any, ids: list[str], verb: str) -> None:
    for instance in backend.get_multi_instances_by_id(ids):
        if instance.state == "terminated":
            text = f"The instance '{instance.id}' is not in a state from which it can be {verb}."
            raise EC2ClientError("IncorrectInstanceState", text)


@replaces(InstanceBackend, "start_instances")
def start(original: Any, self: Any, instance_ids: list[str]) -> Any:
    """Refuse to start a terminated instance; set the launch time (moto starts it, and never changes the time)."""
    _check_not_terminated(self, instance_ids, "started")
    for instance in self.get_multi_instances_by_id(instance_ids):
        if instance.state == "stopped":
            instance.launch_time = utcnow()
    return original(self, instance_ids)


@replaces(InstanceBackend, "stop_instances")
def stop(original: Any, self: Any, instance_ids: list[str]) -> Any:
    """Refuse to stop terminated and spot instances; keep the stop time of an instance that is stopped already.

    (moto stops them all, and changes the stop time.)
    """
    _check_not_terminated(self, instance_ids, "stopped")
    for instance in self.get_multi_instances_by_id(instance_ids):
        if instance.lifecycle == "spot":
            text = f"You can't stop the Spot Instance '{instance.id}' because it is of a one-time request."
            raise EC2ClientError("UnsupportedOperation", text)
    stopped = {
        instance.id: (instance._reason, instance.state_reason)
        for instance in self.get_multi_instances_by_id(instance_ids)
        if instance.state == "stopped"
    }
    result = original(self, instance_ids)
    for instance in self.get_multi_instances_by_id(list(stopped)):
        instance._reason, instance.state_reason = stopped[instance.id]
    return result


@replaces(Instance, "terminate")
def terminate(original: Any, self: Any) -> Any:
    """Terminate an instance and release its elastic address; terminating it again changes nothing.

    (In moto, the instance keeps its address, and terminating it again fails.)
    """
    if self.state == "terminated":
        return self._state
    for address in [address for address in self.ec2_backend.addresses if address.instance is self]:
        self.ec2_backend.disassociate_address(association_id=address.association_id)
    return original(self)


def _set_reason(original: Callable[[Any], Any], self: Any) -> Any:
    """Set the reason. If the lab itself stops or terminates an instance, its host has powered itself off."""
    result = original(self)
    if next((mark for mark, kind in AGENTS.items() if kind == "lab"), "") in self.headers.get("User-Agent", ""):
        for instance in self.ec2_backend.get_multi_instances_by_id(self._get_param("InstanceIds", [])):
            instance.state_reason = INSTANCE_INITIATED
            instance._reason = ""
    return result


replaces(InstanceResponse, "stop_instances")(_set_reason)
replaces(InstanceResponse, "terminate_instances")(_set_reason)
