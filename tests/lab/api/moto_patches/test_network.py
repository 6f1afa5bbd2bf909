"""Addresses, security groups and tags behave as in EC2 where unpatched moto differs."""

from typing import Any

import pytest

from tests.lab.api.client import VpcIds, code, create_vpc, instance

REGION = "eu-north-1"


def test_public_addresses_are_nobodys(ec2: Any) -> None:
    made = [ec2.allocate_address(Domain="vpc") for _ in range(2)]
    assert all(address["PublicIp"].startswith("198.51.100.") for address in made)
    assert made[0]["PublicIp"] != made[1]["PublicIp"]
    for address in made:
        ec2.release_address(AllocationId=address["AllocationId"])


def test_a_nat_gateway_stands_in_its_subnet_and_leaves_it(ec2: Any, net: VpcIds) -> None:
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    options = {"SubnetId": net.subnet, "AllocationId": address, "PrivateIpAddress": "10.30.1.200"}
    gateway = ec2.create_nat_gateway(**options)["NatGateway"]["NatGatewayId"]
    (description,) = ec2.describe_nat_gateways(NatGatewayIds=[gateway])["NatGateways"]
    assert (description["State"], description["NatGatewayAddresses"][0]["PrivateIp"]) == ("available", "10.30.1.200")
    ec2.delete_nat_gateway(NatGatewayId=gateway)
    assert "AssociationId" not in ec2.describe_addresses(AllocationIds=[address])["Addresses"][0]
    assert not ec2.describe_network_interfaces(Filters=[{"Name": "private-ip-address", "Values": ["10.30.1.200"]}])[
        "NetworkInterfaces"
    ]
    ec2.release_address(AllocationId=address)


def allow(ec2: Any, group: str, source: str, text: str) -> Any:
    pair = {"GroupId": source, "Description": text}
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [pair]}
    return ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])["SecurityGroupRules"][0]


def test_rules_that_name_a_group(ec2: Any, net: VpcIds) -> None:
    errors = pytest.importorskip("botocore.exceptions")
    other = ec2.create_security_group(VpcId=net.vpc, GroupName="other", Description="o")["GroupId"]
    rule = allow(ec2, other, net.group, "from the hosts")
    filters = [{"Name": "group-id", "Values": [other]}]
    rules = ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
    assert [rule["Description"] for rule in rules if not rule["IsEgress"]] == ["from the hosts"]
    with pytest.raises(errors.ClientError) as failure:
        allow(ec2, other, net.group, "the same with other words")
    assert code(failure) == "InvalidPermission.Duplicate"
    with pytest.raises(errors.ClientError) as failure:
        ec2.delete_security_group(GroupId=net.group)
    assert code(failure) == "DependencyViolation"
    ec2.revoke_security_group_ingress(GroupId=other, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])
    ec2.delete_security_group(GroupId=other)


def test_what_is_in_use_is_not_deleted(ec2: Any) -> None:
    errors = pytest.importorskip("botocore.exceptions")
    net = create_vpc(ec2, "10.40.0.0/16")
    id = instance(ec2, net)
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=net.vpc)
    for delete in (
        lambda: ec2.delete_security_group(GroupId=net.group),
        lambda: ec2.delete_subnet(SubnetId=net.subnet),
        lambda: ec2.delete_vpc(VpcId=net.vpc),
    ):
        with pytest.raises(errors.ClientError) as failure:
            delete()
        assert code(failure) == "DependencyViolation"
    ec2.terminate_instances(InstanceIds=[id])
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=net.vpc)
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    ec2.delete_subnet(SubnetId=net.subnet)
    ec2.delete_security_group(GroupId=net.group)
    ec2.delete_vpc(VpcId=net.vpc)
    left = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [net.vpc]}])
    assert left["NetworkAcls"] == []


def tagged(kind: str) -> list[dict[str, Any]]:
    tags = [{"Key": "stack", "Value": "one"}, {"Key": "Name", "Value": f"a {kind}"}]
    return [{"ResourceType": kind, "Tags": tags}]


def test_tags_list_existing_resources(ec2: Any) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.50.0.0/16", TagSpecifications=tagged("vpc"))["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.50.1.0/24", TagSpecifications=tagged("subnet"))["Subnet"]
    address = ec2.allocate_address(Domain="vpc", TagSpecifications=tagged("elastic-ip"))["AllocationId"]
    key = ec2.create_key_pair(KeyName="k", TagSpecifications=tagged("key-pair"))["KeyPairId"]
    nat = ec2.create_nat_gateway(
        SubnetId=subnet["SubnetId"], AllocationId=address, TagSpecifications=tagged("natgateway")
    )["NatGateway"]["NatGatewayId"]
    ids = {vpc, subnet["SubnetId"], address, key, nat}

    def found(*filters: tuple[str, list[str]]) -> dict[str, str]:
        pages = ec2.get_paginator("describe_tags").paginate(
            Filters=[{"Name": name, "Values": values} for name, values in filters], PaginationConfig={"PageSize": 5}
        )
        return {tag["ResourceId"]: tag["ResourceType"] for page in pages for tag in page["Tags"]}

    assert set(found(("tag:stack", ["one"]))) == ids
    assert set(found(("key", ["stack"]), ("value", ["one", "two"]))) == ids
    assert sorted(found(("tag:stack", ["one"])).values()) == ["elastic-ip", "key-pair", "natgateway", "subnet", "vpc"]
    assert found(("resource-type", ["natgateway"]), ("tag:Name", ["a nat*"])) == {nat: "natgateway"}
    assert found(("tag:stack", ["two"])) == {}
    ec2.delete_nat_gateway(NatGatewayId=nat)
    ec2.delete_key_pair(KeyName="k")
    ec2.release_address(AllocationId=address)
    ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    ec2.delete_vpc(VpcId=vpc)
    assert set(found(("tag:stack", ["one"]))) == {nat}  # AWS also lists a deleted one for an hour
    assert ec2.describe_nat_gateways(NatGatewayIds=[nat])["NatGateways"][0]["State"] == "deleted"
