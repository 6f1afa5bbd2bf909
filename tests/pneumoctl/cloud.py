"""A simulated AWS for tests: the lab's API, its faults, and hosts to launch. The fixture is in cloud_fixture."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pneumoctl.aws import s3
from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.gpu import scheduled_stop
from pneumoctl.stack import stack
from pneumoctl.stack.inventory import Host, Inventory

REGION = "eu-west-1"
ACCOUNT = "123456789012"
BOOT = "#!/bin/sh\ncat >/usr/local/sbin/pneumoctl-guard <<'PYTHON'\nPYTHON\n"


@dataclass(frozen=True)
class Cloud:
    url: str
    state: Path

    def ask(self, method: str, resource: str, value: object = None) -> Any:
        body = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(f"{self.url}/lab/{resource}", body, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def fault(self, kind: str, **more: object) -> None:
        self.ask("POST", "faults", {"kind": kind, **more})

    def calls(self, since: int = 0) -> list[str]:
        return [f"{call['service']}:{call['action']}" for call in self.ask("GET", f"calls?since={since}")["calls"]]

    def last(self) -> int:
        return int(self.ask("GET", "calls/last")["last"])

    def aws(self) -> Aws:
        """The Aws object that all tests share, because creating clients takes longer than most tests."""
        return _shared(self.url)

    def fresh(self) -> Aws:
        """A new Aws object, for a test that changes the environment or the limits."""
        return Aws("", REGION)

    def clear(self) -> None:
        """Remove what a test left and what counts against a quota."""
        aws = self.aws()
        volumes = aws.items("ec2", "describe_instances", "Reservations")
        running = [
            instance["InstanceId"]
            for group in volumes
            for instance in group["Instances"]
            if instance["State"]["Code"] != 48
        ]
        if running:
            aws.call("ec2", "terminate_instances", InstanceIds=running)
        self.ask("DELETE", "terminated")
        for address in aws.call("ec2", "describe_addresses")["Addresses"]:
            aws.call("ec2", "release_address", AllocationId=address["AllocationId"])


@cache
def _shared(url: str) -> Aws:
    return Aws("", REGION)


def tags(stack: str, name: str, role: str = "", address: str = "") -> list[dict[str, str]]:
    """The tags that terraform sets on a resource."""
    own_tags = {"Name": f"pneumoctl-{stack}-{name}", "pneumoctl:stack": stack}
    own_tags |= ({"pneumoctl:role": role} if role else {}) | ({"pneumoctl:address": address} if address else {})
    return [{"Key": key, "Value": value} for key, value in own_tags.items()]


def launch(aws: Aws, stack: str, name: str, role: str, kind: str = "t3.micro", own: bool = False) -> Instance:
    """Launch an instance of a stack. `own`: with a key, a profile and a boot script."""
    image = aws.call("ec2", "describe_images", Owners=["136693071363"])["Images"][0]["ImageId"]
    put = [
        {"ResourceType": thing, "Tags": tags(stack, name, role, f"aws_instance.host:{name}")}
        for thing in ("instance", "volume")
    ]
    more = _owned(aws, stack) if own else {}
    number: dict[str, Any] = {"MinCount": 1, "MaxCount": 1, "TagSpecifications": put}
    aws.call("ec2", "run_instances", ImageId=image, InstanceType=kind, **number, **more)
    return next(instance for instance in aws.instances(stack) if instance.name == name)


def _owned(aws: Aws, stack: str) -> dict[str, Any]:
    if not aws.call("ec2", "describe_key_pairs", Filters=[{"Name": "key-name", "Values": [stack]}])["KeyPairs"]:
        aws.call("ec2", "create_key_pair", KeyName=stack)
        aws.call("iam", "create_instance_profile", InstanceProfileName=stack)
    profile = aws.call("iam", "get_instance_profile", InstanceProfileName=stack)["InstanceProfile"]
    return {"KeyName": stack, "IamInstanceProfile": {"Arn": profile["Arn"]}, "UserData": BOOT}


def guarded(aws: Aws, stack: str) -> None:
    """Create what terraform/guard.tf does: the schedule group and the role of its schedules, unless they exist."""
    group, role = f"pneumoctl-{stack}", f"pneumoctl-{stack}-scheduler-{REGION}"
    existing = aws.items("scheduler", "list_schedule_groups", "ScheduleGroups")
    if group in {listed["Name"] for listed in existing}:
        return
    made = aws.call("scheduler", "create_schedule_group", Name=group)
    trusted = {"StringEquals": {"aws:SourceAccount": ACCOUNT, "aws:SourceArn": made["ScheduleGroupArn"]}}
    who = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "scheduler.amazonaws.com"}}
    trust = {"Version": "2012-10-17", "Statement": [{**who, "Condition": trusted}]}
    aws.call("iam", "create_role", RoleName=role, AssumeRolePolicyDocument=json.dumps(trust))
    tagged = {"aws:ResourceTag/pneumoctl:stack": stack, "aws:ResourceTag/pneumoctl:role": "train"}
    stop = {
        "Effect": "Allow",
        "Action": ["ec2:StopInstances"],
        "Resource": ["*"],
        "Condition": {"StringEquals": tagged},
    }
    policy = {"Version": "2012-10-17", "Statement": [stop]}
    aws.call("iam", "put_role_policy", RoleName=role, PolicyName="stop", PolicyDocument=json.dumps(policy))


@contextmanager
def guarded_account(cloud: Cloud, stack: str) -> Iterator[Aws]:
    """The account with the guards of a stack in it. At the end no fault is set and no stop is armed."""
    aws = cloud.aws()
    guarded(aws, stack)
    yield aws
    cloud.ask("DELETE", "faults")
    for lease in scheduled_stop.listed(aws, stack):
        scheduled_stop.delete(aws, stack, lease.run)


def stack_with_gpu_host(name: str, train: Instance) -> stack.Stack:
    """A stack on aws that this machine has saved, with its front host and this GPU host."""
    saved = stack.find(name)
    saved.save_cloud(stack.Cloud(REGION, "", ACCOUNT, "bucket"))
    host = Host("train", "train", "10.20.32.10", instance_id=train.id, user="ubuntu", type="g5.xlarge")
    front = Host("nginx", "nginx", "10.20.0.10", public_address="127.0.0.1", user="admin")
    saved.save_hosts(Inventory((front, host)))
    return saved


@contextmanager
def stack_with_bucket(cloud: Cloud, bucket: str) -> Iterator[Aws]:
    """A stack `t` on aws whose bucket is there and whose hosts are not."""
    aws = cloud.aws()
    aws.call("s3", "create_bucket", Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    stack.find("t").save_cloud(stack.Cloud(REGION, "", ACCOUNT, bucket))
    yield aws
    cloud.ask("DELETE", "faults")
    s3.empty(aws, bucket)
    aws.call("s3", "delete_bucket", Bucket=bucket)
