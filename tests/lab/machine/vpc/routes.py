"""Route tables, internet and NAT gateways: whether and by which address a host reaches the outside."""

from ipaddress import IPv4Address, ip_network

from tests.lab.machine.vpc.description import Cloud, Description, contains


def route_table(subnet: str, vpc: str, cloud: Cloud) -> Description:
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
        if route.get("DestinationCidrBlock") and contains(route["DestinationCidrBlock"], address)
    ]
    best: Description = max(matching, default=(0, 0, {}))[2]
    return best if best.get("State", "active") == "active" else {}


def _attached(gateway: str, vpc: str, cloud: Cloud) -> bool:
    return any(
        internet_gateway["InternetGatewayId"] == gateway
        and any(attachment.get("VpcId") == vpc for attachment in internet_gateway.get("Attachments", ()))
        for internet_gateway in cloud.internet_gateways
    )


def through_gateway(host: Description, address: str, cloud: Cloud) -> bool:
    vpc = host.get("VpcId", "")
    route = _route(route_table(host.get("SubnetId", ""), vpc, cloud), address)
    return bool(host.get("PublicIpAddress")) and _attached(route.get("GatewayId", ""), vpc, cloud)


def egress_address(host: Description, address: str, cloud: Cloud) -> str | None:
    """The source address of a host's packets to an address outside; None if it has no route there."""
    if through_gateway(host, address, cloud):
        return str(IPv4Address(host["PublicIpAddress"]))
    route = _route(route_table(host.get("SubnetId", ""), host.get("VpcId", ""), cloud), address)
    for nat in cloud.nat_gateways:
        if nat["NatGatewayId"] == route.get("NatGatewayId") and nat["State"] == "available":
            onward = _route(route_table(nat["SubnetId"], nat["VpcId"], cloud), address)
            public = [address["PublicIp"] for address in nat.get("NatGatewayAddresses", ()) if address.get("PublicIp")]
            return public[0] if public and _attached(onward.get("GatewayId", ""), nat["VpcId"], cloud) else None
    return None
