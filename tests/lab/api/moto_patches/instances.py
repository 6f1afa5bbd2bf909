"""Create and change instances: monitoring, security groups, shutdown behaviour, user data, size of the root disk."""

from collections.abc import Mapping
from typing import Any

from moto.core.responses import ActionResult
from moto.core.types import Base64EncodedString
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import InstanceBackend
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.responses.monitoring import Monitoring

from tests.lab.api import images
from tests.lab.api.moto_patches.patch import replaces
from tests.lab.api.state import current_state

DEFAULT_TOKEN = "ABCDE"  # moto's client token if none is given


@replaces(Monitoring, "monitor_instances")
def monitor(original: Any, self: Any) -> Any:
    """Turn on detailed monitoring (moto lacks the call)."""
    return _monitoring(self, "enabled")


@replaces(Monitoring, "unmonitor_instances")
def unmonitor(original: Any, self: Any) -> Any:
    """Turn off detailed monitoring (moto lacks the call)."""
    return _monitoring(self, "disabled")


def _monitoring(response: Any, state: str) -> Any:
    instances = response.ec2_backend.get_multi_instances_by_id(response._get_param("InstanceIds", []))
    for instance in instances:
        instance.monitoring_state = state
    listed = [{"InstanceId": instance.id, "Monitoring": {"State": state}} for instance in instances]
    return ActionResult({"InstanceMonitorings": listed})


@replaces(InstanceBackend, "run_instances")
def run(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    """Run instances as EC2 does.

    - A repeated call with the same client token returns the same instances (moto runs more).
    - An instance has the security groups of its network interface, where terraform's provider sets them (moto: none).
    - An interface that was created with an instance is deleted with it (moto keeps it).
    """
    token = kwargs.get("client_token")
    repeated = [
        reservation
        for reservation in self.reservations.values()
        if reservation.instances and reservation.instances[0].client_token == token
    ]
    if repeated and token != DEFAULT_TOKEN:
        for instance in repeated[0].instances:  # otherwise the caller, which now adds the profile, is refused
            self.iam_instance_profile_associations.pop(instance.id, None)
        return repeated[0]
    before = set(self.enis)
    reservation = original(self, *args, **kwargs)
    for instance in reservation.instances:
        if not instance.security_groups and instance.nics:
            instance.security_groups = list(instance.nics[0].group_set)
        for interface in instance.nics.values():
            interface.delete_on_termination = interface.id not in before
    return reservation


@replaces(InstanceResponse, "_security_grp_instance_attribute_handler")
def modify_groups(original: Any, self: Any) -> bool:
    """Change the shutdown behaviour or the groups (moto removes all groups if another attribute is changed)."""
    behaviour = self._get_param("InstanceInitiatedShutdownBehavior.Value")
    if behaviour:
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        instance.instance_initiated_shutdown_behavior = behaviour
        return True
    if not self._get_param("Groups", []):
        return False
    original(self)
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    instance.nics[0]._group_set = list(instance.security_groups)  # moto: the interface also keeps the old groups
    return True


@replaces(InstanceResponse, "_dot_value_instance_attribute_handler")
def modify_user_data(original: Any, self: Any) -> bool:
    """Change the user data of a stopped instance, and of no other (moto decodes them twice and asks for no state)."""
    user_data = self._get_param("UserData.Value")
    if user_data is None:
        return bool(original(self))
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    if instance.state != "stopped":
        text = f"The instance '{instance.id}' is not in the 'stopped' state."
        raise EC2ClientError("IncorrectInstanceState", text)
    instance.user_data = Base64EncodedString.from_raw_bytes(user_data)
    return True


@replaces(InstanceResponse, "run_instances")
def check_image_and_disk(original: Any, self: Any) -> Any:
    """Refuse an unknown image, a type that does not fit, and a root disk that is too small, as EC2 does.

    (moto accepts all of them.)
    """
    image = images.named(self._get_param("ImageId") or "")
    if image is None:
        raise EC2ClientError("InvalidAMIID.NotFound", f"The image id '[{self._get_param('ImageId')}]' does not exist")
    if current_state().faults.applies("deregistered", image.id):
        text = f"The image ID '{image.id}' is no longer available: it was deregistered"
        raise EC2ClientError("InvalidAMIID.Unavailable", text)
    _check_type(INSTANCE_TYPES.get(self._get_param("InstanceType") or "", {}), image, self._get_param("EbsOptimized"))
    for disk in self._get_param("BlockDeviceMappings", []):
        size = int(disk.get("Ebs", {}).get("VolumeSize") or image.gigabytes)
        if disk.get("DeviceName") == image.device and size < image.gigabytes:
            text = f"Volume of size {size}GB is smaller than snapshot, expect size >= {image.gigabytes}GB"
            raise EC2ClientError("InvalidBlockDeviceMapping", text)
    return original(self)


def _check_type(kind: Mapping[str, Any], image: images.Image, ebs_optimized: bool | None) -> None:
    if ebs_optimized and kind.get("EbsInfo", {}).get("EbsOptimizedSupport") == "unsupported":
        text = "EBS-optimized instances are not supported for your requested configuration."
        raise EC2ClientError("Unsupported", text)
    architectures = kind.get("ProcessorInfo", {}).get("SupportedArchitectures", [image.architecture])
    if image.architecture not in architectures:
        text = f"The architecture of {kind['InstanceType']} does not match the architecture '{image.architecture}'"
        raise EC2ClientError("InvalidParameterValue", f"{text} of the specified AMI.")
