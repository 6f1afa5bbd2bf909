"""Resources that are in AWS and not in the state: which are adopted, and by which identifier."""

import re
from typing import Any

import pytest

from pneumoctl.aws import leftovers
from pneumoctl.aws.leftovers import Remaining
from pneumoctl.aws.terraform import recovery
from pneumoctl.aws.terraform.recovery import missing_from_state
from pneumoctl.aws.terraform.stub import stub
from pneumoctl.files import bundled


def thing(kind: str, id: str, address: str) -> Remaining:
    return Remaining(kind, id, address, "")


def test_resources_in_the_state_are_no_orphans() -> None:
    remaining = [thing("vpc", "vpc-1", "aws_vpc.main"), thing("subnet", "subnet-1", "aws_subnet.public")]
    assert missing_from_state(remaining, {"aws_vpc.main": "vpc-1"}) == [("aws_subnet.public", "subnet-1")]


def test_each_kind_is_imported_by_what_terraform_wants() -> None:
    remaining = [
        thing("security-group-rule", "sgr-1", 'aws_vpc_security_group_ingress_rule.flow["a-b-ssh"]'),
        thing("key-pair", "pneumoctl-t", "aws_key_pair.operator"),
        thing("iam-role", "pneumoctl-t-app-0-eu-west-1", 'aws_iam_role.host["app-0"]'),
        thing("instance-profile", "pneumoctl-t-app-0-eu-west-1", 'aws_iam_instance_profile.host["app-0"]'),
        thing("schedule-group", "pneumoctl-t", "aws_scheduler_schedule_group.stop"),
        thing("schedule", "pneumoctl-t/first-boot-i-1", leftovers.FIRST_BOOT_ADDRESS),
        thing("bucket", "pneumoctl-t-1-eu-west-1", "aws_s3_bucket.main"),
    ]
    assert missing_from_state(remaining, {}) == [(resource.address, resource.id) for resource in remaining]


def test_parts_of_another_resource_are_not_adopted() -> None:
    remaining = [
        thing("volume", "vol-1", 'aws_instance.host["web-0"]'),
        thing("network-interface", "eni-1", "aws_nat_gateway.main"),
        thing("security-group", "sg-0", "aws_default_security_group.closed"),  # made with the VPC: terraform takes it
        thing("schedule", "g/s", ""),
        thing("instance", "i-1", "nothing of ours"),
    ]
    assert missing_from_state(remaining, {}) == []


def test_one_of_two_resources_with_the_same_address_is_adopted() -> None:
    remaining = [thing("vpc", "vpc-1", "aws_vpc.main"), thing("vpc", "vpc-2", "aws_vpc.main")]
    assert missing_from_state(remaining, {}) == [("aws_vpc.main", "vpc-1")]


def test_a_state_is_compared_with_what_exists_under_the_stack_s_tag() -> None:
    existing = [
        thing("vpc", "vpc-2", "aws_vpc.main"),
        thing("instance", "i-1", 'aws_instance.host["web-0"]'),
        thing("instance", "i-9", 'aws_instance.host["web-0"]'),  # somebody copied it with its tags
        thing("instance", "i-3", 'aws_instance.host["web-1"]'),
        thing("volume", "vol-1", ""),
        thing("instance", "i-4", ""),  # a spot instance
    ]
    in_state = {"aws_vpc.main": "vpc-1", 'aws_instance.host["web-0"]': "i-1", "aws_subnet.public": "subnet-1"}
    unlisted = recovery.unlisted(existing, in_state)
    assert [(each.address, each.id, each.listed) for each in unlisted] == [
        ("aws_vpc.main", "vpc-2", "vpc-1"),
        ('aws_instance.host["web-1"]', "i-3", ""),
    ]
    assert [str(each) for each in unlisted] == ["aws_vpc.main (vpc-2, not vpc-1)", 'aws_instance.host["web-1"] (i-3)']
    assert recovery.unlisted(existing[1:2], in_state) == recovery.unlisted([], in_state) == []


def test_a_route_table_association_is_found_by_its_subnet_and_table() -> None:
    address = 'aws_route_table_association.private["train"]'
    remaining = [
        thing("subnet", "subnet-1", "aws_subnet.train"),
        thing("route-table", "rtb-1", "aws_route_table.private"),
    ]
    in_state = {"aws_route_table.private": "rtb-1"}
    pair = ("subnet-1", "rtb-1")
    assert missing_from_state(remaining, in_state, [pair])[-1] == (address, "subnet-1/rtb-1")
    assert missing_from_state(remaining, in_state, []) == [("aws_subnet.train", "subnet-1")]
    assert (address, "subnet-1/rtb-1") not in missing_from_state(remaining, {**in_state, address: "rtbassoc-1"}, [pair])


def test_every_resource_of_ours_is_adopted_or_can_be_put_again() -> None:
    """Fails for a new resource type in terraform/ until it is added here."""
    put_again = {
        *("aws_default_security_group", "aws_iam_role_policy", "terraform_data"),
        *(f"aws_s3_bucket_{part}" for part in ("ownership_controls", "public_access_block", "versioning", "policy")),
        *("aws_s3_bucket_server_side_encryption_configuration", "aws_s3_bucket_lifecycle_configuration"),
    }
    text = "\n".join(file.read_text() for file in bundled("terraform").glob("*.tf"))
    blocks = dict.fromkeys(re.findall(r'^resource "(\w+)" "(\w+)"', text, re.MULTILINE))
    associations = {one.partition("[")[0] for one in recovery.ASSOCIATIONS}
    for kind, name in blocks:
        handled = [kind in recovery.KINDS, kind in put_again, f"{kind}.{name}" in associations]
        assert handled.count(True) == 1, f"{kind}.{name}"
    ends = {end.partition("[")[0] for pair in recovery.ASSOCIATIONS.values() for end in pair}
    assert ends <= {f"{kind}.{name}" for kind, name in blocks}


@pytest.mark.parametrize(
    ("address", "block"),
    [("aws_vpc.main", {}), ('aws_instance.host["web-0"]', {"for_each": {"web-0": ""}})],
)
def test_the_stub_has_one_resource(address: str, block: dict[str, Any]) -> None:
    kind, _, name = address.partition("[")[0].partition(".")
    document = stub(address, "eu-west-1", "t")
    assert document["resource"] == {kind: {name: block}}
    assert document["provider"]["aws"]["region"] == "eu-west-1"
    assert document["provider"]["aws"]["default_tags"] == {"tags": {"pneumoctl:stack": "t"}}


@pytest.mark.parametrize("address", ["", "aws_vpc", "aws_vpc.main.id", "aws_vpc.main; rm", 'a.b["x"]["y"]'])
def test_no_stub_for_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        stub(address, "eu-west-1", "t")
