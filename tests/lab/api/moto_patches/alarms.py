"""CloudWatch alarms: run their EC2 actions."""

from typing import Any

from moto.cloudwatch.models import CloudWatchBackend
from moto.ec2 import ec2_backends

from tests.lab.api.moto_patches.patch import replaces


@replaces(CloudWatchBackend, "set_alarm_state")
def set_state(original: Any, self: Any, alarm_name: str, *args: Any, **kwargs: Any) -> None:
    """Set the state, and stop or terminate the instance if the alarm has such an action (moto runs no action)."""
    original(self, alarm_name, *args, **kwargs)
    alarm = self.alarms[alarm_name]
    if alarm.state_value != "ALARM" or alarm.actions_enabled is False:
        return
    instances = [dimension.value for dimension in alarm.dimensions if dimension.name == "InstanceId"]
    backend = ec2_backends[self.account_id][self.region_name]
    for arn in alarm.alarm_actions or []:
        if ":ec2:stop" in arn or "AWS_EC2.InstanceId.Stop" in arn:
            backend.stop_instances(instances)
        elif ":ec2:terminate" in arn or "AWS_EC2.InstanceId.Terminate" in arn:
            backend.terminate_instances(instances)
