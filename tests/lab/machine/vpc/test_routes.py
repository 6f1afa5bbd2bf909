"""Routes: the address by which a host reaches the operator, or none."""

from typing import Any

import pytest

from tests.lab.machine.vpc.described import INTERNET, NAT, PUBLIC, PUBLIC_HOST, TO_INTERNET, TO_NAT, host, route, table
from tests.lab.machine.vpc.description import Cloud
from tests.lab.machine.vpc.routes import egress_address


@pytest.mark.parametrize(
    ("instance", "tables", "seen"),
    [
        (PUBLIC_HOST, [table("rtb-1", TO_INTERNET)], "198.51.100.10"),
        (host(1), [table("rtb-1", TO_INTERNET)], None),  # no public address
        (host(1), [table("rtb-1", TO_NAT), PUBLIC], "198.51.100.9"),
        (PUBLIC_HOST, [table("rtb-1", TO_NAT), PUBLIC], "198.51.100.9"),
        (host(1), [table("rtb-1", TO_NAT), table("rtb-9", subnet="subnet-9")], None),  # the gateway has no way out
        (PUBLIC_HOST, [table("rtb-1")], None),
        (PUBLIC_HOST, [], None),
        (PUBLIC_HOST, [table("rtb-1", route(GatewayId="igw-gone"))], None),
        (PUBLIC_HOST, [table("rtb-1", route(GatewayId="igw-1", state="blackhole"))], None),
        (PUBLIC_HOST, [table("rtb-1", TO_INTERNET, main=True)], "198.51.100.10"),
        (PUBLIC_HOST, [table("main", TO_INTERNET, main=True), table("rtb-1")], None),  # its own table wins
        (PUBLIC_HOST, [table("rtb-1", TO_INTERNET, subnet="subnet-2")], None),
        (PUBLIC_HOST, [table("rtb-1", TO_INTERNET, route("203.0.113.0/24", NatGatewayId="nat-x"))], None),
        (PUBLIC_HOST, [table("rtb-1", route("203.0.113.7/32", GatewayId="igw-1"))], "198.51.100.10"),
        (PUBLIC_HOST, [table("rtb-1", route("203.0.113.66/32", GatewayId="igw-1"))], None),
    ],
)
def test_the_way_to_the_operator(instance: dict[str, Any], tables: list[Any], seen: str | None) -> None:
    cloud = Cloud([instance], (), tables, [INTERNET], [NAT])

    assert egress_address(instance, "203.0.113.7", cloud) == seen


@pytest.mark.parametrize("state", ["pending", "deleting", "deleted", "failed"])
def test_a_nat_gateway_that_is_not_there_leads_nowhere(state: str) -> None:
    cloud = Cloud([host(1)], (), [table("rtb-1", TO_NAT), PUBLIC], [INTERNET], [{**NAT, "State": state}])

    assert egress_address(host(1), "203.0.113.7", cloud) is None


def test_a_gateway_of_another_vpc_leads_nowhere() -> None:
    elsewhere = {**INTERNET, "Attachments": [{"VpcId": "vpc-2"}]}
    cloud = Cloud([PUBLIC_HOST], (), [table("rtb-1", TO_INTERNET)], [elsewhere])

    assert egress_address(PUBLIC_HOST, "203.0.113.7", cloud) is None
