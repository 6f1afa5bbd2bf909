"""What of a stack bills right now and since when, as AWS itself says."""

from collections.abc import Iterator
from typing import Any

from pneumoctl.aws.bill import RUNNING, Billed, address_line, disk_line, instance_line, nat_line
from pneumoctl.aws.ec2 import STACK_TAG, Aws
from pneumoctl.aws.leftovers import ADDRESS_TAG, address
from pneumoctl.aws.prices import Prices


def billed(aws: Aws, stack: str, prices: Prices) -> list[Billed]:
    """Instances, their disks, NAT gateways and public addresses of the stack. Raises PneumoError."""
    return [*_instances(aws, stack, prices), *_disks(aws, stack, prices), *_network(aws, stack, prices)]


def _tagged(stack: str) -> list[dict[str, Any]]:
    return [{"Name": f"tag:{STACK_TAG}", "Values": [stack]}]


def _instances(aws: Aws, stack: str, prices: Prices) -> Iterator[Billed]:
    for one in aws.instances(stack):
        running = one.state in RUNNING
        yield Billed(instance_line(f'aws_instance.host["{one.name}"]', one.type, running, prices), one.launched)


def _disks(aws: Aws, stack: str, prices: Prices) -> Iterator[Billed]:
    for one in aws.items("ec2", "describe_volumes", "Volumes", Filters=_tagged(stack)):
        if one["State"] not in ("deleting", "deleted"):
            yield Billed(disk_line(_name(one), one["Size"], one["VolumeType"], prices), one["CreateTime"])


def _network(aws: Aws, stack: str, prices: Prices) -> Iterator[Billed]:
    for one in aws.items("ec2", "describe_nat_gateways", "NatGateways", Filter=_tagged(stack)):
        if one["State"] not in ("deleted", "failed"):
            yield Billed(nat_line(_name(one), prices), one["CreateTime"])
    for one in aws.call("ec2", "describe_addresses", Filters=_tagged(stack))["Addresses"]:
        yield Billed(address_line(_name(one), prices), None)  # AWS does not say since when


def _name(one: dict[str, Any]) -> str:
    tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", ())}
    return address(tags.get(ADDRESS_TAG, "")) or tags.get("Name", "")
