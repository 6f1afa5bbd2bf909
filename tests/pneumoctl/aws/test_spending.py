"""Resources that cost money now according to AWS: hosts, disks, NAT gateways, addresses."""

from datetime import UTC, datetime, timedelta

import pytest

from pneumoctl.aws import ec2 as aws_module
from pneumoctl.aws.bill import BilledResource, so_far
from pneumoctl.aws.prices import bundled
from pneumoctl.aws.spending import billed
from tests.pneumoctl.cloud import REGION, Cloud, launch, tags

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


def rates(costs: list[BilledResource]) -> list[float]:
    return [cost.line.usd_per_hour or 0.0 for cost in costs]


def test_what_bills_now(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_module, "POLL_S", 0.05)
    aws = cloud.aws()
    launch(aws, "bill", "web-0", "web", "t3.small")
    train = launch(aws, "bill", "train", "train", "g5.xlarge")
    aws.stop([train], timeout=20)
    put = [{"ResourceType": "elastic-ip", "Tags": tags("bill", "nat", address="aws_eip.nat")}]
    aws.call("ec2", "allocate_address", TagSpecifications=put)
    subnet = aws.call("ec2", "describe_subnets")["Subnets"][0]["SubnetId"]
    put = [{"ResourceType": "natgateway", "Tags": tags("bill", "", address="aws_nat_gateway.main")}]
    aws.call("ec2", "create_nat_gateway", SubnetId=subnet, ConnectivityType="private", TagSpecifications=put)

    costs = billed(aws, "bill", bundled(REGION))
    lines = {(cost.line.address, cost.line.what): cost.line.usd_per_hour for cost in costs}
    disks = {key: lines.pop(key) for key in list(lines) if key[1].startswith("disk")}
    assert lines == {
        ('aws_instance.host["web-0"]', "t3.small"): 0.0228,
        ('aws_instance.host["train"]', "g5.xlarge"): 0.0,
        ("aws_nat_gateway.main", "NAT gateway"): 0.048,
        ("aws_eip.nat", "public IPv4"): 0.005,
    }
    assert {address for address, _ in disks} == {'aws_instance.host["web-0"]', 'aws_instance.host["train"]'}
    assert so_far(costs, datetime.now(UTC) + timedelta(hours=10)).usd == pytest.approx(10 * sum(rates(costs)), rel=0.01)
