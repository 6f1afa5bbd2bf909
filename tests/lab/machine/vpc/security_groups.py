"""Security groups: what may enter and leave a host, as matches of nft."""

from collections.abc import Iterator
from ipaddress import ip_network

from tests.lab.machine.vpc.description import Cloud, Description, contains

PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp"}


def permissions(host: Description, cloud: Cloud, way: str) -> Iterator[Description]:
    group_ids = {group["GroupId"] for group in host.get("SecurityGroups", ())}
    for group in cloud.groups:
        if group["GroupId"] in group_ids:
            yield from group.get(way, ())


def matches(permission: Description, side: str, host: Description, hosts: list[Description]) -> Iterator[str]:
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


def allows_https(permission: Description, address: str) -> bool:
    name = PROTOCOLS.get(permission["IpProtocol"], permission["IpProtocol"])
    ports = name == "-1" or (name == "tcp" and permission.get("FromPort", -1) <= 443 <= permission.get("ToPort", -1))
    ranges = any(contains(entry["CidrIp"], address) for entry in permission.get("IpRanges", ()))
    return ports and (ranges or bool(permission.get("PrefixListIds")))
