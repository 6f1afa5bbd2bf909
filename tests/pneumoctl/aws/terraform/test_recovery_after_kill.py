"""Resources that a killed terraform created but did not record are imported and not created twice."""

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.aws import leftovers
from pneumoctl.aws.ec2 import Aws
from pneumoctl.aws.terraform import recovery
from pneumoctl.aws.terraform.process import Runs
from pneumoctl.aws.terraform.runner import Terraform
from tests.attached_provider import attached
from tests.lab.api.client import Api, running
from tests.pneumoctl.provider_terraform import with_provider

MAIN = """
variable "region" { type = string }
variable "stack" { type = string }
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}
provider "aws" {
  region = var.region
  default_tags { tags = { "pneumoctl:stack" = var.stack } }
}
resource "aws_vpc" "main" {
  cidr_block = "10.20.0.0/16"
  tags       = { "pneumoctl:address" = "aws_vpc.main" }
}
resource "aws_subnet" "public" {
  vpc_id     = aws_vpc.main.id
  cidr_block = "10.20.1.0/24"
  tags       = { "pneumoctl:address" = "aws_subnet.public" }
}
resource "aws_route_table" "public" {
  vpc_id = aws_vpc.main.id
  tags   = { "pneumoctl:address" = "aws_route_table.public" }
}
resource "aws_route_table_association" "public" {
  subnet_id      = aws_subnet.public.id
  route_table_id = aws_route_table.public.id
}
resource "aws_security_group" "role" {
  for_each = toset(["web"])
  name     = "pneumoctl-t-web"
  vpc_id   = aws_vpc.main.id
  tags     = { "pneumoctl:address" = "aws_security_group.role:web" }
}
output "half" { value = aws_security_group.role["web"].id }
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(tmp_path_factory.mktemp("api")) as running_api:
        yield running_api


@pytest.fixture
def terraform(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terraform:
    return with_provider(api, tmp_path, monkeypatch, MAIN)


# Each start of the provider takes seconds: here no plan is saved and read first.
APPLY = ["apply", "-json", "-auto-approve"]


def kill_once_made(terraform: Terraform, api: Api, action: str) -> None:
    """Apply, and SIGKILL terraform after AWS created a resource and before terraform knows of it."""
    terraform._copy.applying.touch()
    runs = Runs(terraform.directory / ".pneumoctl")
    with api.fault(kind="slow", seconds=60, action="Describe*", agent="terraform"):
        child = runs._start(["terraform", *APPLY], terraform.directory, terraform._environment)
        deadline = time.monotonic() + 600
        while action not in {call["action"] for call in api.ask("GET", "calls?mutating=true")["calls"]}:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def lose(file: Path, addresses: list[str]) -> None:
    """Remove resources from a state file, as `terraform state rm` does, which takes two seconds of CPU time."""
    state = json.loads(file.read_text())
    names = {tuple(address.partition("[")[0].split(".")) for address in addresses}
    left = [made for made in state["resources"] if (made["type"], made["name"]) not in names]
    assert len(left) == len(state["resources"]) - len(addresses)
    file.write_text(json.dumps({**state, "serial": state["serial"] + 1, "resources": left}))


def adopted(terraform: Terraform, aws: Aws) -> set[str]:
    return set(recovery.recover(terraform, aws, leftovers.search(aws, "t"), lambda _: None))


def test_after_a_kill_everything_is_adopted_and_nothing_made_twice(terraform: Terraform, api: Api) -> None:
    terraform.prepare({"region": "eu-west-1", "stack": "t"}, "", "eu-west-1", "t")
    with attached(terraform.directory, terraform.environment) as environment:
        provided = replace(terraform, environment=environment)
        kill_once_made(provided, api, "CreateVpc")
        assert terraform.suspect
        all_is_adopted_and_nothing_made_twice(provided, api)


def all_is_adopted_and_nothing_made_twice(terraform: Terraform, api: Api) -> None:
    aws = Aws("", "eu-west-1")
    assert adopted(terraform, aws) == {"aws_vpc.main"}
    assert not terraform.suspect
    terraform._run(APPLY, lambda _: None)

    # As after a power cut with the state in S3, where terraform stores it every twenty seconds only; and the group
    # still has the rule that AWS gives it.
    made = {resource.address: resource.id for resource in terraform.resources()}
    lost = ['aws_security_group.role["web"]', "aws_route_table_association.public"]
    lose(terraform.directory / "terraform.tfstate", lost)
    ec2, group = api.client("ec2"), made[lost[0]]
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[everything])
    terraform = replace(terraform)  # the next command's: this one has read the state
    assert adopted(terraform, aws) == set(lost)
    assert {resource.address: resource.id for resource in terraform.resources()} == made
    assert ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"] == []

    planned = terraform.plan()
    assert [(change.address, change.action, change.attributes) for change in planned.changes] == []
    addresses = [resource.address for resource in leftovers.search(aws, "t") if resource.address]
    assert len(addresses) == len(set(addresses)) == len(made) - 1  # the association has no tag

    # An older copy of the state: it lists the subnet that was there before, and its association.
    file = terraform.directory / "terraform.tfstate"
    older = file.read_text().replace(made["aws_subnet.public"], "subnet-0123456789abcdef0")
    file.write_text(older)
    terraform = replace(terraform)
    assert adopted(terraform, aws) == {"aws_subnet.public", "aws_route_table_association.public"}
    assert {resource.address: resource.id for resource in terraform.resources()} == made
    assert terraform.plan().changes == ()

    # What is known already, and what has gone meanwhile, is passed over.
    terraform.adopt([("aws_vpc.main", made["aws_vpc.main"]), ('aws_security_group.role["db"]', "sg-0123456789abcdef0")])
    assert {resource.address: resource.id for resource in terraform.resources()} == made
