"""The resources of a stack that cost money now, and since when, according to AWS."""

from collections.abc import Iterator
from typing import Any

from pneumoctl.aws.bill import RUNNING, BilledResource, address_line, disk_line, instance_line, nat_line
from pneumoctl.aws.ec2 import STACK_TAG, Aws
from pneumoctl.aws.leftovers import ADDRESS_TAG, address
from pneumoctl.aws.prices import Prices


def billed(aws: Aws, stack: str, prices: Prices) -> list[BilledResource]:
    """Instances, their disks, NAT gateways and public addresses of the stack. Raises PneumoError."""
    return [*_instances(aws, stack, prices), *_disks(aws, stack, prices), *_network(aws, stack, prices)]


def _tagged(stack: str) -> list[dict[str, Any]]:
    return [{"Name": f"tag:{STACK_TAG}", "Values": [stack]}]


def _instances(aws: Aws, stack: str, prices: Prices) -> Iterator[BilledResource]:
    for instance in aws.instances(stack):
        running = instance.state in RUNNING
        name = f'aws_instance.host["{instance.name}"]'
        yield BilledResource(instance_line(name, instance.type, running, prices), instance.launched)


def _disks(aws: Aws, stack: str, prices: Prices) -> Iterator[BilledResource]:
    for disk in aws.items("ec2", "describe_volumes", "Volumes", Filters=_tagged(stack)):
        if disk["State"] not in ("deleting", "deleted"):
            yield BilledResource(disk_line(_name(disk), disk["Size"], disk["VolumeType"], prices), disk["CreateTime"])


def _network(aws: Aws, stack: str, prices: Prices) -> Iterator[BilledResource]:
    for gateway in aws.items("ec2", "describe_nat_gateways", "NatGateways", Filter=_tagged(stack)):
        if gateway["State"] not in ("deleted", "failed"):
            yield BilledResource(nat_line(_name(gateway), prices), gateway["CreateTime"])
    for elastic_ip in aws.call("ec2", "describe_addresses", Filters=_tagged(stack))["Addresses"]:
        yield BilledResource(address_line(_name(elastic_ip), prices), None)  # AWS does not say since when


def _name(resource: dict[str, Any]) -> str:
    tags = {tag["Key"]: tag["Value"] for tag in resource.get("Tags", ())}
    return address(tags.get(ADDRESS_TAG, "")) or tags.get("Name", "")
