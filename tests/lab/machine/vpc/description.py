"""EC2's description of a network, as boto3 returns it, and what is outside of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

Description = Mapping[str, Any]


@dataclass(frozen=True)
class Cloud:
    """The complete results of boto3's describe_* calls."""

    instances: Sequence[Description] = ()
    groups: Sequence[Description] = ()
    route_tables: Sequence[Description] = ()
    internet_gateways: Sequence[Description] = ()
    nat_gateways: Sequence[Description] = ()
    endpoints: Sequence[Description] = ()


@dataclass(frozen=True)
class ExternalNetwork:
    """What is outside the VPC: the API, and the addresses, each by the name of the router's interface to it."""

    api: str
    port: int
    addresses: Mapping[str, str]


def contains(addresses: str, address: str) -> bool:
    return ip_address(address) in ip_network(addresses, strict=False)
