"""Remaining resources of a stack are found by tag or name, and never those of another stack."""

import json
from collections.abc import Iterator

import pytest

from pneumoctl.aws import leftovers
from pneumoctl.aws.ec2 import Aws
from pneumoctl.aws.leftovers import Remaining, address, bucket_name, search, wait_until_gone
from pneumoctl.errors import PneumoError
from tests.pneumoctl.cloud import ACCOUNT, REGION, Cloud, launch, tags

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]
SCHEDULER = {"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole"}
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [SCHEDULER]})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "PAUSE_S", 0.05)


@pytest.fixture
def aws(cloud: Cloud) -> Iterator[Aws]:
    """Remove all resources of the stacks used here after each test."""
    aws = cloud.aws()
    yield aws
    cloud.ask("DELETE", "faults")
    for stack in ("r", "r-b"):
        left = search(aws, stack)
        for resource in left:
            remove(aws, resource)
        assert not left or search(aws, stack) == []


def make_all(aws: Aws, stack: str) -> None:
    """One of each kind, as terraform names and tags them."""

    def put(kind: str, where: str) -> list[dict[str, object]]:
        return [{"ResourceType": kind, "Tags": tags(stack, "x", address=where)}]

    listed = tags(stack, "x", address="aws_iam_role.host:app")
    launch(aws, stack, "web-0", "web")
    aws.call("ec2", "allocate_address", TagSpecifications=put("elastic-ip", "aws_eip.nat"))
    key = put("key-pair", "aws_key_pair.operator")
    aws.call("ec2", "create_key_pair", KeyName=f"pneumoctl-{stack}", TagSpecifications=key)
    name = f"pneumoctl-{stack}-app-{REGION}"
    aws.call("iam", "create_role", RoleName=name, AssumeRolePolicyDocument=TRUST, Tags=listed)
    aws.call("iam", "create_instance_profile", InstanceProfileName=name, Tags=listed)
    plain = {tag["Key"]: tag["Value"] for tag in tags(stack, "x", address="aws_cloudwatch_log_group.flows")}
    aws.call("logs", "create_log_group", logGroupName=f"pneumoctl-{stack}-flow-logs", tags=plain)
    group = f"pneumoctl-{stack}"
    where = tags(stack, "x", address="aws_scheduler_schedule_group.stop")
    aws.call("scheduler", "create_schedule_group", Name=group, Tags=where)
    target = {"Arn": "arn:aws:scheduler:::aws-sdk:ec2:stopInstances", "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{name}"}
    at = {"ScheduleExpression": "at(2099-01-01T00:00:00)", "FlexibleTimeWindow": {"Mode": "OFF"}}
    for name in ("first-boot-i-1", "stop"):
        aws.call("scheduler", "create_schedule", Name=name, GroupName=group, Target=target, **at)
    make_bucket(aws, bucket_name(stack, ACCOUNT, REGION), tags(stack, "x", address="aws_s3_bucket.main"))


def make_bucket(aws: Aws, name: str, tagged: list[dict[str, str]]) -> None:
    aws.call("s3", "create_bucket", Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    if tagged:
        aws.call("s3", "put_bucket_tagging", Bucket=name, Tagging={"TagSet": tagged})


def remove(aws: Aws, resource: Remaining) -> None:
    match resource.kind:
        case "instance":
            aws.call("ec2", "terminate_instances", InstanceIds=[resource.id])
        case "elastic-ip":
            aws.call("ec2", "release_address", AllocationId=resource.id)
        case "key-pair":
            aws.call("ec2", "delete_key_pair", KeyName=resource.id)
        case "iam-role":
            aws.call("iam", "delete_role", RoleName=resource.id)
        case "instance-profile":
            aws.call("iam", "delete_instance_profile", InstanceProfileName=resource.id)
        case "log-group":
            aws.call("logs", "delete_log_group", logGroupName=resource.id)
        case "schedule-group":
            aws.call("scheduler", "delete_schedule_group", Name=resource.id)
        case "bucket":
            aws.call("s3", "delete_bucket", Bucket=resource.id)
        case "volume" | "schedule":
            pass  # goes with its instance, its group
        case _:
            raise AssertionError(resource)


def test_each_kind_is_found_with_the_address_that_terraform_knows(aws: Aws) -> None:
    make_all(aws, "r")
    name = f"pneumoctl-r-app-{REGION}"
    usual = bucket_name("r", ACCOUNT, REGION)
    found = search(aws, "r")
    left = {resource.kind: (resource.id, resource.address) for resource in found}
    assert Remaining("schedule", "pneumoctl-r/first-boot-i-1", leftovers.FIRST_BOOT_ADDRESS, "first-boot-i-1") in found
    assert left.pop("instance")[1] == 'aws_instance.host["web-0"]'
    assert left.pop("volume")[1] == ""
    assert left.pop("elastic-ip")[1] == "aws_eip.nat"
    assert left == {
        "key-pair": ("pneumoctl-r", "aws_key_pair.operator"),
        "iam-role": (name, 'aws_iam_role.host["app"]'),
        "instance-profile": (name, 'aws_iam_role.host["app"]'),
        "log-group": ("pneumoctl-r-flow-logs", "aws_cloudwatch_log_group.flows"),
        "schedule-group": ("pneumoctl-r", "aws_scheduler_schedule_group.stop"),
        "schedule": ("pneumoctl-r/stop", ""),
        "bucket": (usual, "aws_s3_bucket.main"),
    }


def test_a_stack_with_the_same_prefix_is_not_listed(aws: Aws) -> None:
    make_all(aws, "r-b")
    assert search(aws, "r") == []
    assert {resource.kind for resource in search(aws, "r-b")} >= {
        "instance",
        "iam-role",
        "log-group",
        "schedule-group",
        "bucket",
    }


def test_a_terminated_instance_and_its_disk_do_not_count(aws: Aws) -> None:
    host = launch(aws, "r", "web-0", "web")
    assert {resource.kind for resource in search(aws, "r")} == {"instance", "volume"}
    aws.call("ec2", "terminate_instances", InstanceIds=[host.id])
    assert search(aws, "r") == []


def test_a_bucket_without_tags_is_recognised_by_its_name(aws: Aws) -> None:
    make_bucket(aws, bucket_name("r", ACCOUNT, REGION), [])
    assert [(resource.kind, resource.address) for resource in search(aws, "r")] == [("bucket", "aws_s3_bucket.main")]


def test_a_bucket_that_the_settings_name_is_ours_only_by_its_tag(aws: Aws) -> None:
    make_bucket(aws, "somebodys-own", [])
    assert search(aws, "r", "somebodys-own") == []
    aws.call("s3", "put_bucket_tagging", Bucket="somebodys-own", Tagging={"TagSet": tags("r", "x")})
    assert [resource.id for resource in search(aws, "r", "somebodys-own")] == ["somebodys-own"]
    aws.call("s3", "delete_bucket", Bucket="somebodys-own")


def test_a_log_group_recreated_by_a_late_delivery_is_found(aws: Aws) -> None:
    aws.call("logs", "create_log_group", logGroupName="pneumoctl-r-flow-logs")
    assert [resource.kind for resource in search(aws, "r")] == ["log-group"]


@pytest.mark.parametrize(
    ("service", "action"),
    [("ec2", "DescribeTags"), ("iam", "ListRoles"), ("logs", "DescribeLogGroups"), ("s3", "HeadBucket")],
)
def test_no_proof_where_a_question_is_denied(cloud: Cloud, aws: Aws, service: str, action: str) -> None:
    cloud.fault("denied", service=service, action=action)
    with pytest.raises(PneumoError) as raised:
        search(aws, "r")
    assert raised.value.details["aws"] == "denied"


def test_proof_waits_for_what_aws_still_lists(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    host = launch(aws, "r", "web-0", "web")
    monkeypatch.setattr(
        leftovers.time, "sleep", lambda _: aws.call("ec2", "terminate_instances", InstanceIds=[host.id])
    )
    assert wait_until_gone(aws, "r", timeout=5) == []


def test_proof_names_what_stays(aws: Aws) -> None:
    launch(aws, "r", "web-0", "web")
    assert {resource.name for resource in wait_until_gone(aws, "r", timeout=0.2)} == {"pneumoctl-r-web-0"}


@pytest.mark.parametrize(
    ("tag", "terraforms"),
    [("aws_vpc.main", "aws_vpc.main"), ("aws_instance.host:web-0", 'aws_instance.host["web-0"]'), ("", "")],
)
def test_address(tag: str, terraforms: str) -> None:
    assert address(tag) == terraforms
