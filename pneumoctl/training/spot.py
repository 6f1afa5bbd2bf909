"""The spot instance of a run: launched like the stack's GPU host for one run, and terminated instead of stopped.

EC2 cannot stop an instance of a one-time request, and cannot turn an on-demand instance into a spot one.
"""

import time
from contextlib import suppress
from datetime import datetime
from typing import Any

from pneumoctl.aws import boot_scripts
from pneumoctl.aws.ec2 import ROLE_TAG, STACK_TAG, UNSEEN_S, Aws, Instance, instance
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import refusals
from pneumoctl.stack.runs import Run

RUN_TAG, ATTEMPT_TAG, NAME = "pneumoctl:run", "pneumoctl:attempt", "train-spot"
POLL_S = 1.0
GUARD = "/usr/local/sbin/pneumoctl-guard"  # in the boot script that installs it
NO_ROLE = "AuthFailure.ServiceLinkedRoleCreationNotPermitted"


def launch(aws: Aws, host: Instance, run: Run) -> Instance:
    """Launch the instance for an attempt of a run, like `host`. EC2 may not list it yet: see wait_until_visible.

    Raises PneumoError: with exit code 4 and `spot` in its details if EC2 has none. After any other error the instance
    may exist: see find_by_run_tag.
    """
    try:
        made = aws.call("ec2", "run_instances", **_launch_request(aws, host, run))
    except PneumoError as error:
        code = str(error.details.get("aws_code", ""))
        if code.startswith("InvalidAMIID."):
            why = f"the image of the GPU host {host.id} was deregistered, and a spot instance needs it: {error.message}"
            raise _unlike(aws, host, why, "image") from error
        if code == NO_ROLE:
            raise _no_role(error) from error
        if not refusals.is_unavailable(error):
            raise
        message = f"EC2 has no spot {host.type} now: {error.message}"
        raise PneumoError(message, "try again later, or with --fallback", Exit.PREFLIGHT, spot="none") from error
    return instance(made["Instances"][0], run.stack)


def _no_role(error: PneumoError) -> PneumoError:
    return PneumoError(
        f"the account has no role for spot instances, and these credentials may not create it: {error.message}",
        "ask the account's administrator for: aws iam create-service-linked-role --aws-service-name spot.amazonaws.com",
        Exit.PREFLIGHT,
        spot="none",
    )


def _unlike(aws: Aws, host: Instance, why: str, what: str) -> PneumoError:
    """The error for a GPU host that no spot instance can be launched like. `what`: what a new host would have anew."""
    terminate = f"aws ec2 terminate-instances --region {aws.region} --instance-ids {host.id}"
    return PneumoError(
        why,
        f"train on the GPU host: pneumoctl train --gpu; or make it anew, with a new {what}: {terminate}; pneumoctl up",
        Exit.PREFLIGHT,
        spot="none",
    )


def wait_until_visible(aws: Aws, host: Instance) -> None:
    """Wait at most a minute until EC2 lists an instance that was just launched."""
    give_up = time.monotonic() + UNSEEN_S
    while host.id not in aws.states([host.id]) and time.monotonic() < give_up:
        time.sleep(POLL_S)


def find_by_run_tag(aws: Aws, run: Run) -> Instance | None:
    """The instance of a run's attempt if the answer to its launch was lost; None if EC2 lists none for a minute."""
    give_up = time.monotonic() + UNSEEN_S
    while (instance := instance_of(aws, run)) is None and time.monotonic() < give_up:
        time.sleep(POLL_S)
    return instance


def instance_of(aws: Aws, run: Run) -> Instance | None:
    """The instance of a run's attempt, if EC2 lists it now."""
    return next(iter(aws.tagged(run.stack, _tags(run))), None)


def placeholder(run: Run) -> Instance:
    """An instance made from the run's record, if EC2 does not list it yet or any more."""
    launched = datetime.fromisoformat(run.created)
    return Instance(run.instance, NAME, "train", "", run.type, launched, "", "", spot=True)


def current_price(aws: Aws, type: str) -> float | None:
    """The spot price now in USD an hour, in the most expensive zone; None if it is not known."""
    with suppress(PneumoError, KeyError, ValueError):
        wanted = {"InstanceTypes": [type], "ProductDescriptions": ["Linux/UNIX"], "StartTime": aws.identity().asked}
        prices = aws.call("ec2", "describe_spot_price_history", **wanted)["SpotPriceHistory"]
        return max((float(price["SpotPrice"]) for price in prices), default=None)
    return None


def _launch_request(aws: Aws, host: Instance, run: Run) -> dict[str, Any]:
    """The launch request, with the properties of the stack's GPU host, including its image and boot script."""
    groups = aws.items("ec2", "describe_instances", "Reservations", InstanceIds=[host.id])
    (like,) = [each for group in groups for each in group["Instances"]]
    user_data = boot_scripts.read(aws, host.id)
    if not any(GUARD in script for script in boot_scripts.split(user_data)):
        raise _unlike(aws, host, f"the user data of the GPU host {host.id} do not contain the guard", "boot script")
    options = ("HttpTokens", "HttpPutResponseHopLimit", "HttpEndpoint")
    tags = {"Name": f"pneumoctl-{run.stack}-{NAME}", ROLE_TAG: "train", **_tags(run)}
    tag_list = [{"Key": key, "Value": value} for key, value in tags.items()]
    return {
        "ClientToken": f"{run.id}-{run.attempt}",
        "MinCount": 1,
        "MaxCount": 1,
        "ImageId": like["ImageId"],
        "InstanceType": like["InstanceType"],
        "KeyName": like["KeyName"],
        "SubnetId": like["SubnetId"],
        "SecurityGroupIds": [group["GroupId"] for group in like["SecurityGroups"]],
        "IamInstanceProfile": {"Arn": like["IamInstanceProfile"]["Arn"]},
        "EbsOptimized": like.get("EbsOptimized", False),
        "Monitoring": {"Enabled": True},
        "MetadataOptions": {name: like["MetadataOptions"][name] for name in options},
        "BlockDeviceMappings": [_root_disk(aws, like)],
        "UserData": user_data.decode(),
        "InstanceInitiatedShutdownBehavior": "terminate",
        "InstanceMarketOptions": {
            "MarketType": "spot",  # without a maximum price: at most the on-demand price
            "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
        },
        "TagSpecifications": [{"ResourceType": kind, "Tags": tag_list} for kind in ("instance", "volume")],
    }


def _tags(run: Run) -> dict[str, str]:
    return {STACK_TAG: run.stack, RUN_TAG: run.id, ATTEMPT_TAG: str(run.attempt)}


def _root_disk(aws: Aws, like: dict[str, Any]) -> dict[str, Any]:
    """A root disk of the same kind, deleted with its instance."""
    name = like["RootDeviceName"]
    root = min(like["BlockDeviceMappings"], key=lambda mapping: bool(mapping["DeviceName"] != name))
    (disk,) = aws.call("ec2", "describe_volumes", VolumeIds=[root["Ebs"]["VolumeId"]])["Volumes"]
    same = {"VolumeSize": disk["Size"], "VolumeType": disk["VolumeType"], "Encrypted": True}
    return {"DeviceName": name, "Ebs": {**same, "DeleteOnTermination": True}}
