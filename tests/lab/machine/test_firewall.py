"""The firewall's compiler: EC2 descriptions in, rules out. test_lab tests their effect in the kernel."""

from typing import Any

import pytest

from tests.lab.machine.firewall import Cloud, ExternalNetwork, egress_address, ruleset

EXTERNAL = ExternalNetwork("198.18.0.1", 5555, {"operator": "203.0.113.7", "stranger": "203.0.113.66"})
ANYWHERE = {"CidrIp": "0.0.0.0/0"}


def host(number: int, groups: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    return {
        "InstanceId": f"i-{number}",
        "PrivateIpAddress": f"10.0.1.{number}",
        "VpcId": "vpc-1",
        "SubnetId": "subnet-1",
        "State": {"Name": "running"},
        "SecurityGroups": [{"GroupId": name} for name in groups],
        **more,
    }


def allow(protocol: str = "tcp", low: int = 22, high: int | None = None, **sources: Any) -> dict[str, Any]:
    return {"IpProtocol": protocol, "FromPort": low, "ToPort": low if high is None else high, **sources}


def group(name: str, ingress: tuple[Any, ...] = (), egress: tuple[Any, ...] = ()) -> dict[str, Any]:
    return {"GroupId": name, "IpPermissions": list(ingress), "IpPermissionsEgress": list(egress)}


def table(name: str, *routes: dict[str, Any], subnet: str = "subnet-1", main: bool = False) -> dict[str, Any]:
    association = {"Main": True} if main else {"SubnetId": subnet}
    local = {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"}
    return {"RouteTableId": name, "VpcId": "vpc-1", "Associations": [association], "Routes": [local, *routes]}


def route(to: str = "0.0.0.0/0", state: str = "active", **via: str) -> dict[str, Any]:
    return {"DestinationCidrBlock": to, "State": state, **via}


INTERNET = {"InternetGatewayId": "igw-1", "Attachments": [{"VpcId": "vpc-1", "State": "available"}]}
NAT = {
    "NatGatewayId": "nat-1",
    "VpcId": "vpc-1",
    "SubnetId": "subnet-9",
    "State": "available",
    "NatGatewayAddresses": [{"PublicIp": "198.51.100.9"}],
}
TO_INTERNET = route(GatewayId="igw-1")
TO_NAT = route(NatGatewayId="nat-1")
PUBLIC = table("rtb-9", TO_INTERNET, subnet="subnet-9")


def chain(text: str, name: str) -> list[str]:
    """The rules of a chain."""
    body = text.split(f"chain {name} {{\n")[1].split("\n  }")[0]
    return [line.strip() for line in body.splitlines() if not line.strip().startswith("type ")]


# --- security groups --------------------------------------------------------------------------------------------------


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


# --- routes -----------------------------------------------------------------------------------------------------------

PUBLIC_HOST = host(1, PublicIpAddress="198.51.100.10")


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


# --- the API ----------------------------------------------------------------------------------------------------------

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
