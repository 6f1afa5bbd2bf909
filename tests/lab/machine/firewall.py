"""Compile EC2's description of a network into the router's ruleset for nft. Pure functions.

Supported: security groups in both directions, stateful, by address range, group and prefix list; route tables (without
a route, a host cannot communicate with the outside); internet and NAT gateways; public addresses; gateway endpoints.
The AWS API has its own port in the lab. A rule that opens port 443 of AWS to a host opens this port, and an S3 endpoint
opens the whole API. Not supported: network ACLs, IPv6, VPC peering, and hosts that reach other hosts by a public
address. As in AWS, packets that are not allowed are dropped.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any

Description = Mapping[str, Any]

TABLE = "vpc"
PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp"}


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


def ruleset(cloud: Cloud, external: ExternalNetwork) -> str:
    """A complete ruleset that replaces the previous one."""
    existing = [
        instance
        for instance in cloud.instances
        if instance.get("PrivateIpAddress") and instance["State"]["Name"] not in ENDED
    ]
    hosts = list({instance["PrivateIpAddress"]: instance for instance in reversed(existing)}.values())[::-1]
    outside = ", ".join(external.addresses)
    chains = [
        ("prerouting", "type nat hook prerouting priority dstnat", _destination_nat(hosts, cloud, external)),
        ("postrouting", "type nat hook postrouting priority srcnat", _source_nat(hosts, cloud, external)),
        ("input", "type filter hook input priority filter; policy drop", _input(hosts, cloud, external, outside)),
        ("forward", "type filter hook forward priority filter; policy drop", _forward(hosts, outside)),
    ]
    for host in hosts:
        chains.append((_chain("out", host), "", list(_egress(host, hosts, cloud, external))))
        chains.append((_chain("in", host), "", list(_ingress(host, hosts, cloud))))
    body = "\n".join(_render(*chain) for chain in chains)
    return f"add table ip {TABLE}\ndelete table ip {TABLE}\ntable ip {TABLE} {{\n{body}\n}}\n"


ENDED = ("terminated", "shutting-down")


def _render(name: str, kind: str, rules: list[str]) -> str:
    lines = [f"{kind};" if kind else "", *rules]
    return f"  chain {name} {{\n" + "".join(f"    {line}\n" for line in lines if line) + "  }"


def _chain(way: str, host: Description) -> str:
    return f"{way}-{host['InstanceId']}"


# --- the chains -------------------------------------------------------------------------------------------------------


def _destination_nat(hosts: list[Description], cloud: Cloud, external: ExternalNetwork) -> list[str]:
    """From outside to a public address, for hosts whose subnet has a route to the internet gateway."""
    return [
        f"iifname {namespace} ip daddr {host['PublicIpAddress']} dnat to {host['PrivateIpAddress']}"
        for host in hosts
        for namespace, address in external.addresses.items()
        if _through_gateway(host, address, cloud)
    ]


def _source_nat(hosts: list[Description], cloud: Cloud, external: ExternalNetwork) -> list[str]:
    """To the outside, with the host's public address or that of its NAT gateway as the source."""
    return [
        f"ip saddr {host['PrivateIpAddress']} ip daddr {address} snat to {source}"
        for host in hosts
        for address in external.addresses.values()
        if (source := egress_address(host, address, cloud))
    ]


def _input(hosts: list[Description], cloud: Cloud, external: ExternalNetwork, outside: str) -> list[str]:
    open_to = [host["PrivateIpAddress"] for host in hosts if _reaches_api(host, cloud, external)]
    match = f"ip daddr {external.api} tcp dport {external.port} accept"
    rules = ["ct state established,related accept", "iif lo accept", f"iifname {{ {outside} }} {match}"]
    return rules + ([f"ip saddr {{ {', '.join(open_to)} }} {match}"] if open_to else [])


def _forward(hosts: list[Description], outside: str) -> list[str]:
    rules = [
        "ct state established,related accept",
        "ct state invalid drop",
        f"iifname {{ {outside} }} ct status & dnat == 0 drop",  # private addresses are not routed outside
    ]
    if hosts:
        addresses = ", ".join(host["PrivateIpAddress"] for host in hosts)
        rules.append(f"iifname != {{ {outside} }} ip saddr != {{ {addresses} }} drop")
        sources = ", ".join(f"{host['PrivateIpAddress']} : jump {_chain('out', host)}" for host in hosts)
        targets = ", ".join(f"{host['PrivateIpAddress']} : goto {_chain('in', host)}" for host in hosts)
        rules += [f"ip saddr vmap {{ {sources} }}", f"ip daddr vmap {{ {targets} }}", f"oifname {{ {outside} }} accept"]
    return rules


def _egress(host: Description, hosts: list[Description], cloud: Cloud, external: ExternalNetwork) -> Iterator[str]:
    """Rules for packets that may leave a host; all others are dropped."""
    neighbours = [neighbour["PrivateIpAddress"] for neighbour in hosts if neighbour.get("VpcId") == host.get("VpcId")]
    reached = neighbours + [address for address in external.addresses.values() if egress_address(host, address, cloud)]
    yield f"ip daddr != {{ {', '.join(reached)} }} drop"
    for permission in _permissions(host, cloud, "IpPermissionsEgress"):
        for match in _matches(permission, "daddr", host, hosts):
            yield f"{match} return".strip()
    yield "drop"


def _ingress(host: Description, hosts: list[Description], cloud: Cloud) -> Iterator[str]:
    for permission in _permissions(host, cloud, "IpPermissions"):
        for match in _matches(permission, "saddr", host, hosts):
            yield f"{match} accept".strip()
    yield "drop"


# --- security groups --------------------------------------------------------------------------------------------------


def _permissions(host: Description, cloud: Cloud, way: str) -> Iterator[Description]:
    group_ids = {group["GroupId"] for group in host.get("SecurityGroups", ())}
    for group in cloud.groups:
        if group["GroupId"] in group_ids:
            yield from group.get(way, ())


def _matches(permission: Description, side: str, host: Description, hosts: list[Description]) -> Iterator[str]:
    """One match for each address range of a permission, and one for the members of each group that it names."""
    protocol = _protocol(permission)
    if protocol is None:
        return
    for addresses in (entry["CidrIp"] for entry in permission.get("IpRanges", ())):
        network = ip_network(addresses, strict=False)
        yield " ".join(filter(None, ["" if network.prefixlen == 0 else f"ip {side} {network}", protocol]))
    for pair in permission.get("UserIdGroupPairs", ()):
        members = [member["PrivateIpAddress"] for member in hosts if _is_member(member, pair["GroupId"], host)]
        if members:
            yield " ".join(filter(None, [f"ip {side} {{ {', '.join(members)} }}", protocol]))


def _is_member(member: Description, group: str, host: Description) -> bool:
    return member.get("VpcId") == host.get("VpcId") and group in {
        g["GroupId"] for g in member.get("SecurityGroups", ())
    }


def _protocol(permission: Description) -> str | None:
    """The match for protocol and ports; empty for all traffic, None for a protocol that IPv4 does not have."""
    name = PROTOCOLS.get(permission["IpProtocol"], permission["IpProtocol"])
    low, high = permission.get("FromPort", -1), permission.get("ToPort", -1)
    if name == "-1":
        return ""
    if name in ("icmpv6", "58"):
        return None
    if name == "icmp":
        kind = "ip protocol icmp" if low == -1 else f"icmp type {low}"
        return kind if high == -1 or low == -1 else f"{kind} icmp code {high}"
    if name in ("tcp", "udp") and low != -1:
        return f"{name} dport {low}" if low == high else f"{name} dport {low}-{high}"
    return f"ip protocol {name}"


def _allows_https(permission: Description, address: str) -> bool:
    name = PROTOCOLS.get(permission["IpProtocol"], permission["IpProtocol"])
    ports = name == "-1" or (name == "tcp" and permission.get("FromPort", -1) <= 443 <= permission.get("ToPort", -1))
    ranges = any(_contains(entry["CidrIp"], address) for entry in permission.get("IpRanges", ()))
    return ports and (ranges or bool(permission.get("PrefixListIds")))


# --- routes -----------------------------------------------------------------------------------------------------------


def _contains(addresses: str, address: str) -> bool:
    return ip_address(address) in ip_network(addresses, strict=False)


def _table(subnet: str, vpc: str, cloud: Cloud) -> Description:
    """The route table of a subnet: its own, else the main one of its VPC."""
    main: Description = {}
    for table in cloud.route_tables:
        associations = table.get("Associations", ())
        if any(association.get("SubnetId") == subnet for association in associations):
            return table
        if table.get("VpcId") == vpc and any(association.get("Main") for association in associations):
            main = table
    return main


def _route(table: Description, address: str) -> Description:
    """The most specific active route to an address; empty if there is none."""
    matching = [
        (ip_network(route["DestinationCidrBlock"]).prefixlen, number, route)
        for number, route in enumerate(table.get("Routes", ()))
        if route.get("DestinationCidrBlock") and _contains(route["DestinationCidrBlock"], address)
    ]
    best: Description = max(matching, default=(0, 0, {}))[2]
    return best if best.get("State", "active") == "active" else {}


def _attached(gateway: str, vpc: str, cloud: Cloud) -> bool:
    return any(
        internet_gateway["InternetGatewayId"] == gateway
        and any(attachment.get("VpcId") == vpc for attachment in internet_gateway.get("Attachments", ()))
        for internet_gateway in cloud.internet_gateways
    )


def _through_gateway(host: Description, address: str, cloud: Cloud) -> bool:
    vpc = host.get("VpcId", "")
    route = _route(_table(host.get("SubnetId", ""), vpc, cloud), address)
    return bool(host.get("PublicIpAddress")) and _attached(route.get("GatewayId", ""), vpc, cloud)


def egress_address(host: Description, address: str, cloud: Cloud) -> str | None:
    """The source address of a host's packets to an address outside; None if it has no route there."""
    if _through_gateway(host, address, cloud):
        return str(IPv4Address(host["PublicIpAddress"]))
    route = _route(_table(host.get("SubnetId", ""), host.get("VpcId", ""), cloud), address)
    for nat in cloud.nat_gateways:
        if nat["NatGatewayId"] == route.get("NatGatewayId") and nat["State"] == "available":
            onward = _route(_table(nat["SubnetId"], nat["VpcId"], cloud), address)
            public = [address["PublicIp"] for address in nat.get("NatGatewayAddresses", ()) if address.get("PublicIp")]
            return public[0] if public and _attached(onward.get("GatewayId", ""), nat["VpcId"], cloud) else None
    return None


def _reaches_api(host: Description, cloud: Cloud, external: ExternalNetwork) -> bool:
    allowed = any(
        _allows_https(permission, external.api) for permission in _permissions(host, cloud, "IpPermissionsEgress")
    )
    table = _table(host.get("SubnetId", ""), host.get("VpcId", ""), cloud).get("RouteTableId")
    endpoint = any(
        table in endpoint.get("RouteTableIds", ()) and endpoint.get("State", "").lower() == "available"
        for endpoint in cloud.endpoints
    )
    return allowed and (endpoint or egress_address(host, external.api, cloud) is not None)
