"""Public addresses from TEST-NET-2, which is not routed; private addresses from their subnet; NAT gateways."""

import itertools
from typing import Any

import moto.ec2.models.elastic_ip_addresses as elastic
import moto.ec2.models.elastic_network_interfaces as interfaces
from moto.ec2 import ec2_backends
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.nat_gateways import NatGatewayBackend
from moto.ec2.responses.nat_gateways import NatGateways

from tests.lab.api.moto_patches.patch import replaces

PUBLIC = "198.51.100"  # RFC 5737
_numbers = itertools.cycle(range(10, 250))


def free_address() -> str:
    """Return a free public address of TEST-NET-2 (moto returns real addresses of other networks, or loopback ones)."""
    taken = {
        interface.public_ip
        for _, _, backend in ec2_backends.iter_backends()
        for interface in (*backend.addresses, *backend.enis.values())
    }
    return next(address for address in (f"{PUBLIC}.{number}" for number in _numbers) if address not in taken)


elastic.random_ip = interfaces.random_public_ip = free_address


@replaces(NatGateways, "create_nat_gateway")
def create(original: Any, self: Any) -> Any:
    """Give the gateway the requested private address, or one of its subnet (moto gives it neither)."""
    result = original(self)
    gateway = result.result["NatGateway"]
    subnet = self.ec2_backend.get_subnet(gateway.subnet_id)
    address = self._get_param("PrivateIpAddress")
    if address:
        subnet.request_ip(address, gateway)
    else:
        address = subnet.get_available_subnet_ip(gateway)
    gateway.private_ip = gateway._eni.private_ip_address = gateway.address_set[0]["privateIp"] = address
    gateway._eni.private_ip_addresses = [{"Primary": True, "PrivateIpAddress": address}]
    return result


@replaces(NatGatewayBackend, "delete_nat_gateway")
def delete(original: Any, self: Any, nat_gateway_id: str) -> Any:
    """Delete a gateway with its interface and its address association (moto keeps both)."""
    gateway = original(self, nat_gateway_id)
    for address in [address for address in self.addresses if address.eni is gateway._eni]:
        self.disassociate_address(association_id=address.association_id)
    if self.enis.pop(gateway._eni.id, None):
        self.get_subnet(gateway.subnet_id).del_subnet_ip(gateway.private_ip)
    return gateway


_association = NetworkInterface.association.fget


def association(self: Any) -> Any:
    """Return the association of an interface; None without an address.

    (moto returns an empty association, which terraform's provider treats as a public address.)
    """
    return _association(self) or None


NetworkInterface.association = property(association)
