"""Compile EC2's description of a network into the router's ruleset for nft. Pure functions.

Supported: security groups in both directions, stateful, by address range, group and prefix list; route tables (without
a route, a host cannot communicate with the outside); internet and NAT gateways; public addresses; gateway endpoints.
The AWS API has its own port in the lab. A rule that opens port 443 of AWS to a host opens this port, and an S3 endpoint
opens the whole API. Not supported: network ACLs, IPv6, VPC peering, and hosts that reach other hosts by a public
address. As in AWS, packets that are not allowed are dropped.
"""

from collections.abc import Iterator

from tests.lab.machine.vpc.description import Cloud, Description, ExternalNetwork
from tests.lab.machine.vpc.routes import egress_address, route_table, through_gateway
from tests.lab.machine.vpc.security_groups import allows_https, matches, permissions

TABLE = "vpc"


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


def _destination_nat(hosts: list[Description], cloud: Cloud, external: ExternalNetwork) -> list[str]:
    """From outside to a public address, for hosts whose subnet has a route to the internet gateway."""
    return [
        f"iifname {namespace} ip daddr {host['PublicIpAddress']} dnat to {host['PrivateIpAddress']}"
        for host in hosts
        for namespace, address in external.addresses.items()
        if through_gateway(host, address, cloud)
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
    for permission in permissions(host, cloud, "IpPermissionsEgress"):
        for match in matches(permission, "daddr", host, hosts):
            yield f"{match} return".strip()
    yield "drop"


def _ingress(host: Description, hosts: list[Description], cloud: Cloud) -> Iterator[str]:
    for permission in permissions(host, cloud, "IpPermissions"):
        for match in matches(permission, "saddr", host, hosts):
            yield f"{match} accept".strip()
    yield "drop"


def _reaches_api(host: Description, cloud: Cloud, external: ExternalNetwork) -> bool:
    allowed = any(
        allows_https(permission, external.api) for permission in permissions(host, cloud, "IpPermissionsEgress")
    )
    table = route_table(host.get("SubnetId", ""), host.get("VpcId", ""), cloud).get("RouteTableId")
    endpoint = any(
        table in endpoint.get("RouteTableIds", ()) and endpoint.get("State", "").lower() == "available"
        for endpoint in cloud.endpoints
    )
    return allowed and (endpoint or egress_address(host, external.api, cloud) is not None)
