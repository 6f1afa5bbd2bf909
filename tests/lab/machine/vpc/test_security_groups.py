"""Security groups: a rule for each permission, range and member."""

from typing import Any

import pytest

from tests.lab.machine.vpc.described import ANYWHERE, EXTERNAL, allow, chain, group, host
from tests.lab.machine.vpc.description import Cloud
from tests.lab.machine.vpc.firewall import ruleset


@pytest.mark.parametrize(
    ("permission", "rule"),
    [
        (allow(IpRanges=[ANYWHERE]), "tcp dport 22 accept"),
        (allow(IpRanges=[{"CidrIp": "203.0.113.7/32"}]), "ip saddr 203.0.113.7/32 tcp dport 22 accept"),
        (allow(IpRanges=[{"CidrIp": "10.0.1.99/24"}]), "ip saddr 10.0.1.0/24 tcp dport 22 accept"),
        (allow(low=8000, high=8080, IpRanges=[ANYWHERE]), "tcp dport 8000-8080 accept"),
        (allow("udp", 53, IpRanges=[ANYWHERE]), "udp dport 53 accept"),
        (allow("6", 22, IpRanges=[ANYWHERE]), "tcp dport 22 accept"),
        (allow("-1", -1, IpRanges=[ANYWHERE]), "accept"),
        (allow("icmp", -1, IpRanges=[ANYWHERE]), "ip protocol icmp accept"),
        (allow("icmp", 8, -1, IpRanges=[ANYWHERE]), "icmp type 8 accept"),
        (allow("icmp", 3, 4, IpRanges=[ANYWHERE]), "icmp type 3 icmp code 4 accept"),
        (allow("50", -1, IpRanges=[ANYWHERE]), "ip protocol 50 accept"),
        ({"IpProtocol": "-1", "IpRanges": [ANYWHERE]}, "accept"),
    ],
)
def test_a_permission_becomes_one_rule(permission: dict[str, Any], rule: str) -> None:
    text = ruleset(Cloud([host(1, ("sg-1",))], [group("sg-1", ingress=(permission,))]), EXTERNAL)

    assert chain(text, "in-i-1") == [rule, "drop"]


@pytest.mark.parametrize(
    "permission",
    [
        allow(),
        allow(Ipv6Ranges=[{"CidrIpv6": "::/0"}]),
        allow("icmpv6", -1, IpRanges=[ANYWHERE]),
        allow(UserIdGroupPairs=[{"GroupId": "sg-of-nobody"}]),
    ],
)
def test_a_permission_for_nobody_on_ipv4_opens_nothing(permission: dict[str, Any]) -> None:
    text = ruleset(Cloud([host(1, ("sg-1",))], [group("sg-1", ingress=(permission,))]), EXTERNAL)

    assert chain(text, "in-i-1") == ["drop"]


def test_each_range_of_a_permission_has_a_rule_of_its_own() -> None:
    ranges = [{"CidrIp": "10.0.0.0/8"}, {"CidrIp": "10.0.1.0/24"}]  # nft refuses overlapping ranges in one set
    text = ruleset(Cloud([host(1, ("sg-1",))], [group("sg-1", ingress=(allow(IpRanges=ranges),))]), EXTERNAL)

    assert chain(text, "in-i-1") == [
        "ip saddr 10.0.0.0/8 tcp dport 22 accept",
        "ip saddr 10.0.1.0/24 tcp dport 22 accept",
        "drop",
    ]


def test_a_reference_is_to_the_members_of_the_group_in_the_same_vpc() -> None:
    hosts = [host(1, ("a",)), host(2, ("b",)), host(3, ("b", "c")), host(4, ("b",), VpcId="vpc-2"), host(5, ("c",))]
    groups = [group("a", ingress=(allow(UserIdGroupPairs=[{"GroupId": "b"}]),)), group("b"), group("c")]

    assert chain(ruleset(Cloud(hosts, groups), EXTERNAL), "in-i-1") == [
        "ip saddr { 10.0.1.2, 10.0.1.3 } tcp dport 22 accept",
        "drop",
    ]


def test_the_default_group_lets_its_members_speak_with_each_other() -> None:
    itself = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "default"}]}
    everything = {"IpProtocol": "-1", "IpRanges": [ANYWHERE]}
    groups = [group("default", (itself,), (everything,))]
    text = ruleset(Cloud([host(1, ("default",)), host(2, ("default",))], groups), EXTERNAL)

    assert chain(text, "in-i-1") == ["ip saddr { 10.0.1.1, 10.0.1.2 } accept", "drop"]
    assert chain(text, "out-i-1") == ["ip daddr != { 10.0.1.1, 10.0.1.2 } drop", "return", "drop"]


def test_a_closed_group_and_no_group_open_nothing() -> None:
    text = ruleset(Cloud([host(1, ("closed",)), host(2)], [group("closed")]), EXTERNAL)

    for number in (1, 2):
        assert chain(text, f"in-i-{number}") == ["drop"]
        assert chain(text, f"out-i-{number}") == ["ip daddr != { 10.0.1.1, 10.0.1.2 } drop", "drop"]


def test_the_rules_of_all_groups_of_a_host_add_up() -> None:
    groups = [group("a", (allow(low=22, IpRanges=[ANYWHERE]),)), group("b", (allow(low=80, IpRanges=[ANYWHERE]),))]
    text = ruleset(Cloud([host(1, ("b", "a"))], groups), EXTERNAL)

    assert chain(text, "in-i-1") == ["tcp dport 22 accept", "tcp dport 80 accept", "drop"]


def test_egress_is_by_destination() -> None:
    egress = (
        allow(low=5000, UserIdGroupPairs=[{"GroupId": "app"}]),
        allow(low=443, IpRanges=[ANYWHERE]),
        allow("udp", 123, IpRanges=[{"CidrIp": "10.0.0.0/16"}]),
    )
    hosts = [host(1, ("web",)), host(2, ("app",))]
    text = ruleset(Cloud(hosts, [group("web", egress=egress), group("app")]), EXTERNAL)

    assert chain(text, "out-i-1")[1:] == [
        "ip daddr { 10.0.1.2 } tcp dport 5000 return",
        "tcp dport 443 return",
        "ip daddr 10.0.0.0/16 udp dport 123 return",
        "drop",
    ]
