"""A run's own spot instance: created like the stack's host, with the guard, or not at all."""

from dataclasses import replace
from typing import Any

import pytest

from pneumoctl.aws import boot_scripts
from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import stop
from pneumoctl.stack.runs import Run
from pneumoctl.targets.aws.provisioning import ssh_key
from pneumoctl.training import outcome, spot
from tests.pneumoctl.cloud import BOOT, REGION, Cloud

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


def described(aws: Aws, id: str) -> dict[str, Any]:
    groups = aws.items("ec2", "describe_instances", "Reservations", InstanceIds=[id])
    (description,) = [dict(instance) for group in groups for instance in group["Instances"]]
    return description


def test_a_spot_instance_matches_the_stacks_host_and_terminates_on_shutdown(aws: Aws, host: Instance, run: Run) -> None:
    made = spot.launch(aws, host, run)
    like, found = described(aws, host.id), described(aws, made.id)

    for name in ("ImageId", "InstanceType", "SubnetId", "SecurityGroups", "KeyName"):
        assert found[name] == like[name]
    assert found["IamInstanceProfile"]["Arn"] == like["IamInstanceProfile"]["Arn"]
    assert found["InstanceLifecycle"] == "spot" and made.spot and made.role == "train" and made.name == spot.NAME
    assert stop.shutdown_ends_billing(aws, made)
    tags = [
        aws.call("ec2", "describe_instance_attribute", InstanceId=id, Attribute="userData") for id in (host.id, made.id)
    ]
    assert tags[0]["UserData"]["Value"] == tags[1]["UserData"]["Value"] != ""
    assert found["PrivateIpAddress"] == made.private_ip != host.private_ip


def test_an_image_that_was_deregistered_is_said(aws: Aws, cloud: Cloud, host: Instance, run: Run) -> None:
    cloud.fault("deregistered", name=described(aws, host.id)["ImageId"])
    with pytest.raises(PneumoError, match=f"the image of the GPU host {host.id} was deregistered") as caught:
        spot.launch(aws, host, run)
    assert caught.value.code == Exit.PREFLIGHT and caught.value.details["spot"] == "none"
    assert f"terminate-instances --region {REGION} --instance-ids {host.id}; pneumoctl up" in caught.value.hint
    assert spot.instance_of(aws, run) is None


@pytest.mark.parametrize("saved", [b"", b"#cloud-boothook\n#!/bin/sh\n"])
def test_none_is_launched_without_the_guard_in_its_user_data(
    aws: Aws, cloud: Cloud, host: Instance, run: Run, saved: bytes
) -> None:
    aws.call("ec2", "modify_instance_attribute", InstanceId=host.id, UserData={"Value": saved})
    since = cloud.last()
    with pytest.raises(PneumoError, match=f"user data of the GPU host {host.id} do not contain the guard") as caught:
        spot.launch(aws, host, run)
    assert caught.value.code == Exit.PREFLIGHT and caught.value.details["spot"] == "none"
    assert f"--instance-ids {host.id}; pneumoctl up" in caught.value.hint
    assert "ec2:RunInstances" not in cloud.calls(since)


def test_the_user_data_with_another_ssh_key_still_have_the_guard(aws: Aws, host: Instance, run: Run) -> None:
    saved = boot_scripts.read(aws, host.id)
    both = ssh_key.user_data_of_train(saved, "ssh-ed25519 AAAA other", "ubuntu")
    aws.call("ec2", "modify_instance_attribute", InstanceId=host.id, UserData={"Value": both})
    scripts = boot_scripts.split(boot_scripts.read(aws, spot.launch(aws, host, run).id))
    assert scripts[-1] == BOOT and all("AAAA other" in script for script in scripts[:-1]) and len(scripts) == 3


def test_an_account_without_the_role_for_spot_is_said(aws: Aws, cloud: Cloud, host: Instance, run: Run) -> None:
    cloud.fault("error", service="ec2", action="RunInstances", code=spot.NO_ROLE, message="may not", status=403)
    with pytest.raises(PneumoError, match="the account has no role for spot instances") as caught:
        spot.launch(aws, host, run)
    assert caught.value.code == Exit.PREFLIGHT and caught.value.details["spot"] == "none"
    assert "create-service-linked-role" in caught.value.hint


def test_its_disk_is_of_the_same_size_encrypted_and_goes_with_it(aws: Aws, host: Instance, run: Run) -> None:
    made = spot.launch(aws, host, run)
    disks = [described(aws, id)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"] for id in (host.id, made.id)]
    like, own = (aws.call("ec2", "describe_volumes", VolumeIds=[id])["Volumes"][0] for id in disks)
    assert (own["Size"], own["VolumeType"], own["Encrypted"]) == (like["Size"], like["VolumeType"], True)

    aws.stop([made])
    with pytest.raises(PneumoError):
        aws.call("ec2", "describe_volumes", VolumeIds=[disks[1]])


def test_an_order_that_is_repeated_makes_one_instance(aws: Aws, host: Instance, run: Run) -> None:
    first = spot.launch(aws, host, run)
    assert spot.launch(aws, host, run).id == first.id
    assert spot.launch(aws, host, replace(run, attempt=2)).id != first.id
    spot_instance = spot.instance_of(aws, run)
    assert spot_instance and spot_instance.id == first.id


def test_without_capacity_no_instance_is_created(aws: Aws, host: Instance, run: Run, cloud: Cloud) -> None:
    cloud.fault("error", service="ec2", action="RunInstances", code="InsufficientInstanceCapacity", status=400)
    with pytest.raises(PneumoError, match=r"has no spot g5\.xlarge now") as caught:
        spot.launch(aws, host, run)
    assert caught.value.code == Exit.PREFLIGHT and "--fallback" in caught.value.hint
    ended = outcome.outcome_from_error(caught.value, started=True)
    assert (ended.why, ended.code) == (outcome.NO_SPOT, Exit.PREFLIGHT)
    assert spot.instance_of(aws, run) is None
