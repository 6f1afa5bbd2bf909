"""Find and import the resources of a stack that terraform's state does not list, as after a kill, or if it is old."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pneumoctl.aws.ec2 import STACK_TAG, Aws
from pneumoctl.aws.leftovers import Remaining
from pneumoctl.aws.terraform.events import Report
from pneumoctl.aws.terraform.runner import Terraform

# Resource type -> the kind that represents it. Other kinds may have the same address, such as an instance's disk.
KINDS = {
    "aws_cloudwatch_log_group": "log-group",
    "aws_eip": "elastic-ip",
    "aws_flow_log": "vpc-flow-log",
    "aws_iam_instance_profile": "instance-profile",
    "aws_iam_role": "iam-role",
    "aws_instance": "instance",
    "aws_internet_gateway": "internet-gateway",
    "aws_key_pair": "key-pair",
    "aws_nat_gateway": "natgateway",
    "aws_route_table": "route-table",
    "aws_s3_bucket": "bucket",
    "aws_scheduler_schedule": "schedule",
    "aws_scheduler_schedule_group": "schedule-group",
    "aws_security_group": "security-group",
    "aws_subnet": "subnet",
    "aws_vpc": "vpc",
    "aws_vpc_endpoint": "vpc-endpoint",
    "aws_vpc_security_group_egress_rule": "security-group-rule",
    "aws_vpc_security_group_ingress_rule": "security-group-rule",
}
# Associations have no tags: address -> the subnet and the route table that it joins.
ASSOCIATIONS = {
    "aws_route_table_association.public": ("aws_subnet.public", "aws_route_table.public"),
    'aws_route_table_association.private["service"]': ("aws_subnet.service", "aws_route_table.private"),
    'aws_route_table_association.private["train"]': ("aws_subnet.train", "aws_route_table.private"),
}


@dataclass(frozen=True)
class Unlisted:
    """A resource that exists and is not in the state. `listed`: what the state has in its place, and is gone."""

    address: str
    id: str
    listed: str = ""

    def __str__(self) -> str:
        return f"{self.address} ({self.id}{f', not {self.listed}' if self.listed else ''})"


def unlisted(resources: Iterable[Remaining], in_state: Mapping[str, str]) -> list[Unlisted]:
    """The resources of terraform's kinds that the state does not list, one for each address.

    An address whose resource in the state exists is left out: another one with the same tags is a copy of it.
    """
    existing: dict[str, list[str]] = {}
    for resource in resources:
        if KINDS.get(resource.address.partition(".")[0]) == resource.kind:
            existing.setdefault(resource.address, []).append(resource.id)
    listed = {address: in_state.get(address, "") for address in existing}
    return [Unlisted(each, ids[0], listed[each]) for each, ids in existing.items() if listed[each] not in ids]


def recover(terraform: Terraform, aws: Aws, resources: Iterable[Remaining], report: Report) -> list[str]:
    """Import the resources of the stack that are not in the state; returns their addresses. Clears `Terraform.suspect`.

    What the state has in place of an existing resource, and is gone, is removed from it first. `resources`: all
    resources of the stack, see leftovers.search. Terraform must be prepared.
    """
    resources = list(resources)
    joined = associations(aws, resources)
    in_state = {resource.address: resource.id for resource in terraform.resources()}
    gone = [each.address for each in unlisted(resources, in_state) if each.listed]
    gone += _gone_associations(terraform, joined) if gone else []
    terraform.forget(gone, report)
    left = {address: id for address, id in in_state.items() if address not in gone}
    missing = missing_from_state(resources, left, joined)
    remove_foreign_rules(aws, [id for address, id in missing if address.startswith("aws_security_group.")])
    terraform.adopt(missing, report)
    return [address for address, _ in missing]


def missing_from_state(
    resources: Iterable[Remaining], in_state: Mapping[str, str], associated: Iterable[tuple[str, str]] = ()
) -> list[tuple[str, str]]:
    """(address, import id) of each resource that exists and is not in the state, in the order to import them.

    `in_state`: address -> id of the resources in the state. `associated`: (subnet, route table) pairs that exist.
    Resources that terraform can simply write again are left out, such as the rules of a bucket or a role.
    """
    new: dict[str, str] = {}
    for resource in resources:
        kind = KINDS.get(resource.address.partition(".")[0])
        if kind == resource.kind and resource.address not in in_state:
            new.setdefault(resource.address, resource.id)
    ids = {**in_state, **new}
    pairs = set(associated)
    for address, (subnet, table) in ASSOCIATIONS.items():
        pair = (ids.get(subnet, ""), ids.get(table, ""))
        if address not in in_state and pair in pairs:
            new[address] = "/".join(pair)
    return list(new.items())


def _gone_associations(terraform: Terraform, joined: Iterable[tuple[str, str]]) -> list[str]:
    """The associations in the state whose subnet and route table are not joined in AWS."""
    pairs = {
        resource.address: (resource.values.get("subnet_id"), resource.values.get("route_table_id"))
        for resource in terraform.resources()
        if resource.address in ASSOCIATIONS
    }
    return [address for address, pair in pairs.items() if pair not in set(joined)]


def associations(aws: Aws, resources: Iterable[Remaining]) -> list[tuple[str, str]]:
    """The (subnet, route table) pairs of these route tables."""
    tables = [resource.id for resource in resources if resource.kind == "route-table"]
    if not tables:
        return []
    listed = aws.items("ec2", "describe_route_tables", "RouteTables", RouteTableIds=tables)
    joined = (association for table in listed for association in table["Associations"])
    return [(each["SubnetId"], each["RouteTableId"]) for each in joined if each.get("SubnetId")]


def foreign_rules(aws: Aws, groups: Iterable[str]) -> list[dict[str, Any]]:
    """The rules in these security groups without the stack's tag, as EC2 describes them; no plan shows them."""
    wanted = [{"Name": "group-id", "Values": list(groups)}]
    rules = aws.items("ec2", "describe_security_group_rules", "SecurityGroupRules", Filters=wanted)
    return [rule for rule in rules if STACK_TAG not in {tag["Key"] for tag in rule.get("Tags", ())}]


def describe_rule(rule: Mapping[str, Any]) -> str:
    """A rule in one line."""
    direction = "out to" if rule["IsEgress"] else "in from"
    peer = rule.get("CidrIpv4") or rule.get("CidrIpv6") or rule.get("ReferencedGroupInfo", {}).get("GroupId", "?")
    ports = f"{rule.get('FromPort', '')}-{rule.get('ToPort', '')}"
    return f"{rule['SecurityGroupRuleId']}: {rule['IpProtocol']} {ports} {direction} {peer}"


def remove_foreign_rules(aws: Aws, groups: Iterable[str]) -> None:
    """Remove from these security groups the rules without the stack's tag.

    AWS gives every new group a rule that allows all outgoing traffic. Terraform removes it right after the creation;
    if it is killed in between, no later plan shows that rule.
    """
    for rule in foreign_rules(aws, groups) if groups else ():
        direction = "egress" if rule["IsEgress"] else "ingress"
        ids = [rule["SecurityGroupRuleId"]]
        aws.call("ec2", f"revoke_security_group_{direction}", GroupId=rule["GroupId"], SecurityGroupRuleIds=ids)
