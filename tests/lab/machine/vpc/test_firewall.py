"""The firewall's compiler: EC2 descriptions in, rules out. test_lab tests their effect in the kernel."""

from typing import Any

import pytest

from tests.lab.machine.vpc.described import (
    ANYWHERE,
    EXTERNAL,
    INTERNET,
    NAT,
    PUBLIC,
    PUBLIC_HOST,
    TO_INTERNET,
    TO_NAT,
    allow,
    chain,
    group,
    host,
    table,
)
from tests.lab.machine.vpc.description import Cloud
from tests.lab.machine.vpc.firewall import ruleset


def test_a_host_reaches_its_own_vpc_only() -> None:
    text = ruleset(Cloud([host(1), host(2), host(3, VpcId="vpc-2")]), EXTERNAL)

    assert chain(text, "out-i-1")[0] == "ip daddr != { 10.0.1.1, 10.0.1.2 } drop"
    assert chain(text, "out-i-3")[0] == "ip daddr != { 10.0.1.3 } drop"


@pytest.mark.parametrize("state", ["terminated", "shutting-down"])
def test_a_host_that_is_gone_has_no_rules_and_is_nobodys_source(state: str) -> None:
    groups = [group("a", (allow(UserIdGroupPairs=[{"GroupId": "b"}]),)), group("b")]
    text = ruleset(Cloud([host(1, ("a",)), host(2, ("b",), State={"Name": state})], groups), EXTERNAL)

    assert chain(text, "in-i-1") == ["drop"]
    assert "10.0.1.2" not in text


def test_an_address_given_again_belongs_to_the_host_that_has_it_first() -> None:
    text = ruleset(Cloud([host(1), host(2, PrivateIpAddress="10.0.1.1")]), EXTERNAL)  # nft refuses a key twice

    assert "i-1" in text
    assert "i-2" not in text


def test_what_no_host_sent_is_dropped() -> None:
    rules = chain(ruleset(Cloud([host(1)]), EXTERNAL), "forward")

    assert rules[:4] == [
        "ct state established,related accept",
        "ct state invalid drop",
        "iifname { operator, stranger } ct status & dnat == 0 drop",
        "iifname != { operator, stranger } ip saddr != { 10.0.1.1 } drop",
    ]


def test_public_addresses_are_translated_both_ways() -> None:
    text = ruleset(Cloud([PUBLIC_HOST], (), [table("rtb-1", TO_INTERNET)], [INTERNET]), EXTERNAL)

    assert chain(text, "prerouting") == [
        "iifname operator ip daddr 198.51.100.10 dnat to 10.0.1.1",
        "iifname stranger ip daddr 198.51.100.10 dnat to 10.0.1.1",
    ]
    assert chain(text, "postrouting") == [
        "ip saddr 10.0.1.1 ip daddr 203.0.113.7 snat to 198.51.100.10",
        "ip saddr 10.0.1.1 ip daddr 203.0.113.66 snat to 198.51.100.10",
    ]
    assert "203.0.113.7" in chain(text, "out-i-1")[0]


def test_behind_a_nat_gateway_a_host_speaks_but_is_not_spoken_to() -> None:
    cloud = Cloud([PUBLIC_HOST], (), [table("rtb-1", TO_NAT), PUBLIC], [INTERNET], [NAT])
    text = ruleset(cloud, EXTERNAL)

    assert chain(text, "prerouting") == []
    assert "ip saddr 10.0.1.1 ip daddr 203.0.113.7 snat to 198.51.100.9" in chain(text, "postrouting")


HTTPS = allow(low=443, IpRanges=[ANYWHERE])
ENDPOINT = {"VpcEndpointId": "vpce-1", "State": "available", "RouteTableIds": ["rtb-1"]}
THROUGH_NAT = [table("rtb-1", TO_NAT), PUBLIC]


@pytest.mark.parametrize(
    ("egress", "tables", "endpoints", "reaches"),
    [
        (HTTPS, THROUGH_NAT, [], True),
        (HTTPS, [table("rtb-1")], [], False),
        (HTTPS, [table("rtb-1")], [ENDPOINT], True),
        (HTTPS, [table("rtb-1")], [{**ENDPOINT, "RouteTableIds": ["rtb-2"]}], False),
        (HTTPS, [table("rtb-1")], [{**ENDPOINT, "State": "deleting"}], False),
        (allow(low=443, PrefixListIds=[{"PrefixListId": "pl-1"}]), [table("rtb-1")], [ENDPOINT], True),
        (allow("-1", -1, IpRanges=[ANYWHERE]), THROUGH_NAT, [], True),
        (allow(low=0, high=65535, IpRanges=[ANYWHERE]), THROUGH_NAT, [], True),
        (allow(low=5555, IpRanges=[ANYWHERE]), THROUGH_NAT, [], False),  # not a port of AWS
        (allow("udp", 443, IpRanges=[ANYWHERE]), THROUGH_NAT, [], False),
        (allow(low=443, IpRanges=[{"CidrIp": "10.0.0.0/8"}]), THROUGH_NAT, [], False),
    ],
)
def test_what_opens_https_in_aws_opens_the_api(
    egress: Any, tables: list[Any], endpoints: list[Any], reaches: bool
) -> None:
    cloud = Cloud([host(1, ("sg-1",))], [group("sg-1", egress=(egress,))], tables, [INTERNET], [NAT], endpoints)

    opened = "ip saddr { 10.0.1.1 } ip daddr 198.18.0.1 tcp dport 5555 accept" in chain(
        ruleset(cloud, EXTERNAL), "input"
    )

    assert opened is reaches


def test_an_empty_cloud_lets_the_world_ask_the_api_and_nothing_else() -> None:
    text = ruleset(Cloud(), EXTERNAL)

    assert chain(text, "input")[-1] == "iifname { operator, stranger } ip daddr 198.18.0.1 tcp dport 5555 accept"
    assert chain(text, "forward")[-1] == "iifname { operator, stranger } ct status & dnat == 0 drop"
    assert text.count("policy drop") == 2
