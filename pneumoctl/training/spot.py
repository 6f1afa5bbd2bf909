"""A run's own spot instance: made like the stack's GPU host, for that run alone, and terminated where that is stopped.

EC2 lets nobody stop one of a one-time request, and turns no on-demand instance into one.
"""

import base64
import time
from contextlib import suppress
from datetime import datetime
from typing import Any

from pneumoctl.aws.ec2 import ROLE_TAG, STACK_TAG, UNSEEN_S, Aws, Instance, instance
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack.runs import Run

RUN_TAG, ATTEMPT_TAG, NAME = "pneumoctl:run", "pneumoctl:attempt", "train-spot"
POLL_S = 1.0
# EC2's words for: not now, or not for you. Nothing was made then.
NONE_LEFT = {
    "InsufficientInstanceCapacity",
    "MaxSpotInstanceCountExceeded",
    "SpotMaxPriceTooLow",
    "UnfulfillableCapacity",
    "VcpuLimitExceeded",
}


def launch(aws: Aws, host: Instance, run: Run) -> Instance:
    """Order the instance for an attempt of a run, like `host`. PneumoError (exit 4, `spot` in its details) if EC2 has
    none; any other leaves open whether there is one: see `sought`. EC2 may not tell of it yet: see `seen`.
    """
    try:
        made = aws.call("ec2", "run_instances", **_like(aws, host, run))
    except PneumoError as error:
        if error.details.get("aws_code") not in NONE_LEFT:
            raise
        message = f"EC2 has no spot {host.type} now: {error.message}"
        raise PneumoError(message, "later again, or with --fallback", Exit.PREFLIGHT, spot="none") from error
    return instance(made["Instances"][0], run.stack)


def seen(aws: Aws, host: Instance) -> None:
    """Wait until EC2 tells of one that it has just made, a minute at most."""
    deadline = time.monotonic() + UNSEEN_S
    while host.id not in aws.states([host.id]) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def sought(aws: Aws, run: Run) -> Instance | None:
    """The instance of a run's attempt whose order was not answered; None if EC2 tells of none for a minute."""
    deadline = time.monotonic() + UNSEEN_S
    while (found := of(aws, run)) is None and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return found


def of(aws: Aws, run: Run) -> Instance | None:
    """The instance of a run's attempt as EC2 tells of it."""
    return next(iter(aws.tagged(run.stack, _tags(run))), None)


def gone(run: Run) -> Instance:
    """What is known here of an instance that EC2 tells nothing of, any more or yet."""
    launched = datetime.fromisoformat(run.created)
    return Instance(run.instance, NAME, "train", "", run.type, launched, "", "", spot=True)


def price(aws: Aws, type: str) -> float | None:
    """USD an hour as EC2 asks it now, in the dearest zone; None where that is not known."""
    with suppress(PneumoError, KeyError, ValueError):
        wanted = {"InstanceTypes": [type], "ProductDescriptions": ["Linux/UNIX"], "StartTime": aws.identity().asked}
        told = aws.call("ec2", "describe_spot_price_history", **wanted)["SpotPriceHistory"]
        return max((float(one["SpotPrice"]) for one in told), default=None)
    return None


def _like(aws: Aws, host: Instance, run: Run) -> dict[str, Any]:
    """The order: all that makes the stack's host one of the stack, its image and boot script among it."""
    groups = aws.items("ec2", "describe_instances", "Reservations", InstanceIds=[host.id])
    (found,) = [one for group in groups for one in group["Instances"]]
    told = aws.call("ec2", "describe_instance_attribute", InstanceId=host.id, Attribute="userData")["UserData"]
    options = ("HttpTokens", "HttpPutResponseHopLimit", "HttpEndpoint")
    tags = {"Name": f"pneumoctl-{run.stack}-{NAME}", ROLE_TAG: "train", **_tags(run)}
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    return {
        "ClientToken": f"{run.id}-{run.attempt}",
        "MinCount": 1,
        "MaxCount": 1,
        "ImageId": found["ImageId"],
        "InstanceType": found["InstanceType"],
        "KeyName": found["KeyName"],
        "SubnetId": found["SubnetId"],
        "SecurityGroupIds": [one["GroupId"] for one in found["SecurityGroups"]],
        "IamInstanceProfile": {"Arn": found["IamInstanceProfile"]["Arn"]},
        "EbsOptimized": True,
        "Monitoring": {"Enabled": True},
        "MetadataOptions": {name: found["MetadataOptions"][name] for name in options},
        "BlockDeviceMappings": [_disk(aws, found)],
        "UserData": base64.b64decode(told.get("Value", "")).decode(),
        "InstanceInitiatedShutdownBehavior": "terminate",
        "InstanceMarketOptions": {
            "MarketType": "spot",  # without a price: at most that of on-demand
            "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
        },
        "TagSpecifications": [{"ResourceType": kind, "Tags": listed} for kind in ("instance", "volume")],
    }


def _tags(run: Run) -> dict[str, str]:
    return {STACK_TAG: run.stack, RUN_TAG: run.id, ATTEMPT_TAG: str(run.attempt)}


def _disk(aws: Aws, found: dict[str, Any]) -> dict[str, Any]:
    """A root disk of the same kind, that goes with its instance."""
    name = found["RootDeviceName"]
    root = min(found["BlockDeviceMappings"], key=lambda one: bool(one["DeviceName"] != name))
    (disk,) = aws.call("ec2", "describe_volumes", VolumeIds=[root["Ebs"]["VolumeId"]])["Volumes"]
    made = {"VolumeSize": disk["Size"], "VolumeType": disk["VolumeType"], "Encrypted": True}
    return {"DeviceName": name, "Ebs": {**made, "DeleteOnTermination": True}}
