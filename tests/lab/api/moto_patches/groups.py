"""Security groups: rules that refer to groups. EC2 does not delete resources that are in use."""

from typing import Any

from moto.ec2.exceptions import DependencyViolationError
from moto.ec2.models.security_groups import SecurityGroupBackend, SecurityGroupRule
from moto.ec2.models.subnets import SubnetBackend
from moto.ec2.models.vpcs import VPCBackend

from tests.lab.api.moto_patches.patch import replaces


def described(self: Any) -> Any:
    """Return the description of a rule of any kind (in moto, only rules for address ranges have one)."""
    return self.ip_range.get("Description") or self.source_group.get("Description")


SecurityGroupRule.description = property(described)


@replaces(SecurityGroupRule, "__eq__")
def same(original: Any, self: Any, other: Any) -> bool:
    """Ignore the description when comparing rules, as EC2 does (moto accepts two rules that differ only in it)."""
    return _meaning(self) == _meaning(other)


def _meaning(rule: Any) -> tuple[Any, ...]:
    where = (rule.ip_range.get("CidrIp"), rule.ip_range.get("CidrIpv6"), rule.source_group.get("GroupId"))
    return (rule.ip_protocol, rule.from_port, rule.to_port, rule.prefix_list_id, *where)


@replaces(SecurityGroupBackend, "_delete_security_group")
def delete(original: Any, self: Any, vpc_id: str | None, group_id: str) -> Any:
    """Refuse to delete a group that is in use, as EC2 does (moto deletes it)."""
    for interface in self.enis.values():
        if group_id in [group.id for group in interface.group_set]:
            raise DependencyViolationError(f"resource {group_id} has a dependent object")
    for group in self.groups.get(vpc_id, {}).values():
        rules = [*group.ingress_rules, *group.egress_rules] if group.id != group_id else []
        if any(rule.source_group.get("GroupId") == group_id for rule in rules):
            raise DependencyViolationError(f"resource {group_id} has a dependent object")
    return original(self, vpc_id, group_id)


@replaces(VPCBackend, "delete_vpc")
def delete_vpc(original: Any, self: Any, vpc_id: str) -> Any:
    """Refuse to delete a VPC that is in use, as EC2 does; delete its network ACL with it.

    (moto deletes a VPC that has an internet gateway or security groups, and never deletes its network ACL.)
    """
    gateways = [gateway for gateway in self.internet_gateways.values() if gateway.vpc and gateway.vpc.id == vpc_id]
    groups = [group for group in self.groups.get(vpc_id, {}).values() if group.name != "default"]
    if gateways or groups:
        raise DependencyViolationError(f"The vpc '{vpc_id}' has dependencies and cannot be deleted.")
    vpc = original(self, vpc_id)
    for acl in [acl for acl in self.network_acls.values() if acl.vpc_id == vpc_id]:
        self.network_acls.pop(acl.id)
    return vpc


@replaces(SubnetBackend, "delete_subnet")
def delete_subnet(original: Any, self: Any, subnet_id: str) -> Any:
    """Refuse to delete a subnet that contains network interfaces, as EC2 does (moto deletes it)."""
    if any(interface.subnet.id == subnet_id for interface in self.enis.values()):
        raise DependencyViolationError(f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")
    return original(self, subnet_id)
