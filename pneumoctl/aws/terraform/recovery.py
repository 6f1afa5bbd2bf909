"""Things in AWS that a killed terraform made and did not write down: which they are, and their way into the state."""

from collections.abc import Iterable, Mapping
from typing import Any

from pneumoctl.aws.ec2 import STACK_TAG, Aws
from pneumoctl.aws.leftovers import Remaining
from pneumoctl.aws.terraform.events import Report
from pneumoctl.aws.terraform.runner import Terraform

# The kind of thing that stands for a resource type. Others carry the same address, as the disk of an instance.
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
    "aws_scheduler_schedule_group": "schedule-group",
    "aws_security_group": "security-group",
    "aws_subnet": "subnet",
    "aws_vpc": "vpc",
    "aws_vpc_endpoint": "vpc-endpoint",
    "aws_vpc_security_group_egress_rule": "security-group-rule",
    "aws_vpc_security_group_ingress_rule": "security-group-rule",
}


# They have no tags: address -> the subnet and the route table that it joins.
ASSOCIATIONS = {
    "aws_route_table_association.public": ("aws_subnet.public", "aws_route_table.public"),
    'aws_route_table_association.private["service"]': ("aws_subnet.service", "aws_route_table.private"),
    'aws_route_table_association.private["train"]': ("aws_subnet.train", "aws_route_table.private"),
}


def recover(terraform: "Terraform", aws: "Aws", found: "Iterable[Remaining]", report: "Report") -> list[str]:
    """Bring what was found and is not in the state into it; returns the addresses. Then nothing is suspect any more.

    `found`: everything of the stack, as remains.found has it. terraform must be prepared.
    """
    found = list(found)
    known = {one.address: one.id for one in terraform.resources()}
    lost = orphans(found, known, associations(aws, found))
    close(aws, [id for address, id in lost if address.startswith("aws_security_group.")])
    terraform.adopt(lost, report)
    return [address for address, _ in lost]


def orphans(
    found: "Iterable[Remaining]", known: Mapping[str, str], associated: Iterable[tuple[str, str]] = ()
) -> list[tuple[str, str]]:
    """(address, import id) of each thing that was found and is not in the state, in the order to adopt them.

    `known`: address -> id of what the state has. `associated`: (subnet, route table) pairs that exist.
    Whatever terraform can simply make again is left out: rules of a bucket or a role are put, not created.
    """
    new: dict[str, str] = {}
    for one in found:
        kind = KINDS.get(one.address.partition(".")[0])
        if kind == one.kind and one.address not in known:
            new.setdefault(one.address, one.id)
    ids = {**known, **new}
    pairs = set(associated)
    for address, (subnet, table) in ASSOCIATIONS.items():
        pair = (ids.get(subnet, ""), ids.get(table, ""))
        if address not in known and pair in pairs:
            new[address] = "/".join(pair)
    return list(new.items())


def associations(aws: "Aws", found: "Iterable[Remaining]") -> list[tuple[str, str]]:
    """The (subnet, route table) pairs of the route tables that were found."""
    tables = [one.id for one in found if one.kind == "route-table"]
    if not tables:
        return []
    listed = aws.items("ec2", "describe_route_tables", "RouteTables", RouteTableIds=tables)
    joined = (one for table in listed for one in table["Associations"])
    return [(one["SubnetId"], one["RouteTableId"]) for one in joined if one.get("SubnetId")]


def foreign(aws: "Aws", groups: Iterable[str]) -> list[dict[str, Any]]:
    """The rules in our security groups (ids) that are not ours, as EC2 describes them; no plan sees them."""
    wanted = [{"Name": "group-id", "Values": list(groups)}]
    rules = aws.items("ec2", "describe_security_group_rules", "SecurityGroupRules", Filters=wanted)
    return [one for one in rules if STACK_TAG not in {tag["Key"] for tag in one.get("Tags", ())}]


def said(rule: Mapping[str, Any]) -> str:
    """A rule for a person."""
    way = "out to" if rule["IsEgress"] else "in from"
    whom = rule.get("CidrIpv4") or rule.get("CidrIpv6") or rule.get("ReferencedGroupInfo", {}).get("GroupId", "?")
    ports = f"{rule.get('FromPort', '')}-{rule.get('ToPort', '')}"
    return f"{rule['SecurityGroupRuleId']}: {rule['IpProtocol']} {ports} {way} {whom}"


def close(aws: "Aws", groups: Iterable[str]) -> None:
    """Remove from our security groups the rules that are not ours.

    AWS gives every new group a rule that lets everything out; terraform takes it away right after making the group,
    and when it is killed between the two no later plan sees that rule.
    """
    for one in foreign(aws, groups) if groups else ():
        way = "egress" if one["IsEgress"] else "ingress"
        ids = [one["SecurityGroupRuleId"]]
        aws.call("ec2", f"revoke_security_group_{way}", GroupId=one["GroupId"], SecurityGroupRuleIds=ids)
