"""List all resources in the lab's AWS account, independent of tags, and all resources in terraform's state."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tests.lab.machine.lab import Lab

Thing = tuple[str, str]  # terraform's resource type, id
# terraform's type -> service, operation, list, id
LISTED = {
    "aws_eip": ("ec2", "describe_addresses", "Addresses", "AllocationId"),
    "aws_flow_log": ("ec2", "describe_flow_logs", "FlowLogs", "FlowLogId"),
    "aws_internet_gateway": ("ec2", "describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    "aws_key_pair": ("ec2", "describe_key_pairs", "KeyPairs", "KeyName"),
    "aws_nat_gateway": ("ec2", "describe_nat_gateways", "NatGateways", "NatGatewayId"),
    "aws_security_group": ("ec2", "describe_security_groups", "SecurityGroups", "GroupId"),
    "aws_subnet": ("ec2", "describe_subnets", "Subnets", "SubnetId"),
    "aws_vpc": ("ec2", "describe_vpcs", "Vpcs", "VpcId"),
    "aws_vpc_endpoint": ("ec2", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
    "aws_ebs_volume": ("ec2", "describe_volumes", "Volumes", "VolumeId"),
    "aws_iam_instance_profile": ("iam", "list_instance_profiles", "InstanceProfiles", "InstanceProfileName"),
    "aws_iam_role": ("iam", "list_roles", "Roles", "RoleName"),
    "aws_cloudwatch_log_group": ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    "aws_scheduler_schedule_group": ("scheduler", "list_schedule_groups", "ScheduleGroups", "Name"),
    "aws_s3_bucket": ("s3", "list_buckets", "Buckets", "Name"),
}
RULE = "aws_vpc_security_group_{}_rule"
TYPES = {*LISTED, RULE.format("ingress"), RULE.format("egress"), "aws_instance", "aws_route_table"}
TYPES |= {"aws_route_table_association"}
DEFAULT = "default"  # the security group of every VPC, which cannot be deleted


def existing(lab: Lab) -> set[Thing]:
    """All resources in the lab's AWS, without those that AWS creates and deletes with a VPC."""
    ec2 = lab.client()
    clients = {service: lab.client(service) for service, *_ in LISTED.values() if service != "ec2"} | {"ec2": ec2}
    things = set(_routes(ec2)) | set(_rules(ec2)) | set(_instances(ec2))
    for type_, (service, operation, listing, key) in LISTED.items():
        for resource in getattr(clients[service], operation)()[listing]:
            if resource.get("State") not in ("deleted", "deleting") and resource.get("GroupName") != DEFAULT:
                things.add((type_, resource[key]))
    return things


def _instances(ec2: Any) -> Iterator[Thing]:
    for page in ec2.describe_instances()["Reservations"]:
        for instance in page["Instances"]:
            if instance["State"]["Name"] != "terminated":
                yield "aws_instance", instance["InstanceId"]


def _routes(ec2: Any) -> Iterator[Thing]:
    for table in ec2.describe_route_tables()["RouteTables"]:
        if any(association.get("Main") for association in table["Associations"]):
            continue
        yield "aws_route_table", table["RouteTableId"]
        for association in table["Associations"]:
            yield "aws_route_table_association", association["RouteTableAssociationId"]


def _rules(ec2: Any) -> Iterator[Thing]:
    for rule in ec2.describe_security_group_rules()["SecurityGroupRules"]:
        yield RULE.format("egress" if rule["IsEgress"] else "ingress"), rule["SecurityGroupRuleId"]


def in_state(state: Mapping[str, Any]) -> Counter[Thing]:
    """How often each resource of the listed types is in the state, including the hosts' disks."""
    counted: Counter[Thing] = Counter()
    for resource in state["resources"]:
        for instance in resource["instances"] if resource["mode"] == "managed" else ():
            values = instance["attributes"]
            if resource["type"] in TYPES:
                counted[resource["type"], values["id"]] += 1
            if resource["type"] == "aws_instance":
                counted.update(("aws_ebs_volume", disk["volume_id"]) for disk in values["root_block_device"])
    return counted


def addresses(state: Mapping[str, Any]) -> list[str]:
    """How often each address is in the state."""
    return [
        f"{resource['mode']}.{resource['type']}.{resource['name']}[{instance.get('index_key', '')}]"
        for resource in state["resources"]
        for instance in resource["instances"]
    ]
