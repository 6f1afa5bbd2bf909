"""Run the lab's AWS for a test, and send requests to it."""

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REGION = "eu-west-1"
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Api:
    url: str
    state: Path

    def client(self, service: str, agent: str = "", region: str = REGION, tries: int = 1, **more: Any) -> Any:
        """A boto3 client that does not retry; `agent` is part of its User-Agent."""
        boto3 = pytest.importorskip("boto3")
        from botocore.config import Config

        config = Config(user_agent_extra=agent, retries={"total_max_attempts": tries}, connect_timeout=60, **more)
        keys = {"aws_access_key_id": "lab", "aws_secret_access_key": "lab"}
        return boto3.client(service, endpoint_url=self.url, region_name=region, config=config, **keys)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Send a request to the lab's own HTTP interface, see `control`."""
        data = None if body is None else json.dumps(body).encode()
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(urllib.request.Request(f"{self.url}/lab/{path}", data, method=method), timeout=60) as answer:
            return json.load(answer)

    @contextlib.contextmanager
    def fault(self, **options: object) -> Iterator[int]:
        """Switch a fault on during the block; yields its id."""
        number = self.ask("POST", "faults", options)["id"]
        try:
            yield number
        finally:
            self.ask("DELETE", f"faults/{number}")


@contextlib.contextmanager
def running(state: Path) -> Iterator[Api]:
    """Run a server on a free port during the block."""
    pytest.importorskip("moto")
    command = [sys.executable, "-m", "tests.lab.api", "--port", "0", "--state", str(state)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        try:
            assert process.stdout is not None
            yield Api(process.stdout.readline().strip(), state)
        finally:
            process.terminate()


def code(failure: Any) -> str:
    """The AWS error code of a botocore ClientError that pytest.raises caught."""
    return str(failure.value.response["Error"]["Code"])


@dataclass(frozen=True)
class VpcIds:
    """A VPC with one subnet and one security group, for tests of instances and interfaces."""

    vpc: str
    subnet: str
    group: str


def create_vpc(ec2: Any, block: str = "10.30.0.0/16") -> VpcIds:
    vpc = ec2.create_vpc(CidrBlock=block)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=block.replace("0.0/16", "1.0/24"))["Subnet"]["SubnetId"]
    group = ec2.create_security_group(VpcId=vpc, GroupName="hosts", Description="hosts")["GroupId"]
    return VpcIds(vpc, subnet, group)


def instance(ec2: Any, net: VpcIds, kind: str = "t3.micro", **more: Any) -> str:
    """The id of a new instance, created with a network interface, as the provider does it."""
    interface = {"DeviceIndex": 0, "SubnetId": net.subnet, "Groups": [net.group]}
    options = {"ImageId": "ami-0deb0000000000003", "InstanceType": kind, "MinCount": 1, "MaxCount": 1, **more}
    made: str = ec2.run_instances(NetworkInterfaces=[interface], **options)["Instances"][0]["InstanceId"]
    return made


def describe_instance(ec2: Any, id: str) -> dict[str, Any]:
    """EC2's description of an instance."""
    description: dict[str, Any] = ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]
    return description
