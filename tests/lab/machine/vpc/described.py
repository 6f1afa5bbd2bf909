"""Descriptions of hosts, groups and routes, as EC2 returns them, and the rules of a chain."""

from typing import Any

from tests.lab.machine.vpc.description import ExternalNetwork

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


PUBLIC_HOST = host(1, PublicIpAddress="198.51.100.10")
