"""The GPU host is made where AWS has capacity: in another zone, of another type. Other failures end the apply."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.aws import prices
from pneumoctl.aws.ec2 import Aws
from pneumoctl.aws.terraform.plan_json import Saved
from pneumoctl.aws.terraform.state import Resource
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.provisioning import gpu_placement, provision, quotas
from tests.attached_provider import attached
from tests.lab.api.client import Api, running
from tests.pneumoctl.examples import aws_context
from tests.pneumoctl.provider_terraform import with_provider

SUBNET = Resource("aws_subnet.train", "aws_subnet", "subnet-1", {"availability_zone": "eu-west-1a"})


class Applies:
    """Applies that fail in order; the options of the plans, the first one included."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *failures: PneumoError | None) -> None:
        self.failures, self.plans = list(failures), [()]
        monkeypatch.setattr(provision, "apply", self._apply)
        monkeypatch.setattr(provision, "save_plan", self._plan)
        zones = {"g5.xlarge": ["eu-west-1a", "eu-west-1b"], "g4dn.xlarge": ["eu-west-1a"]}
        monkeypatch.setattr(quotas, "zones", lambda _, kind: zones[kind])
        monkeypatch.setattr(quotas, "offered_gpus", lambda _: ["g4dn.xlarge", "g5.xlarge", "g6.xlarge"])
        monkeypatch.setattr(prices, "current", lambda *_: prices.bundled("eu-west-1"))
        context: Any = aws_context(None, gpu_types="g4dn.xlarge")
        self.context = replace(context, terraform=self)

    def resources(self) -> list[Resource]:
        return [SUBNET]

    def run(self) -> None:
        gpu_placement.apply(self.context, Saved(None, 1, False))  # type: ignore[arg-type]

    def _apply(self, *_: object) -> None:
        failure = self.failures.pop(0)
        if failure is not None:
            raise failure

    def _plan(self, _: object, options: tuple[str, ...]) -> str:
        self.plans.append(options)
        return "plan"


def failure(*addresses: str, kind: str = "capacity") -> PneumoError:
    failed = [{"address": address} for address in addresses or (provision.GPU_ADDRESS,)]
    return PneumoError("terraform apply failed", "", Exit.PARTLY, terraform=kind, failed=failed)


def test_an_apply_that_succeeds_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    applies = Applies(monkeypatch, None)
    applies.run()
    assert applies.plans == [()]


def test_the_other_zones_are_tried_and_then_the_other_types(monkeypatch: pytest.MonkeyPatch) -> None:
    applies = Applies(monkeypatch, failure(), failure(), None)
    applies.run()
    again = [("g5.xlarge", "eu-west-1b"), ("g4dn.xlarge", "eu-west-1a")]
    options = [(f"-var=gpu_type={kind}", f"-var=gpu_zone={zone}", "-replace=aws_subnet.train") for kind, zone in again]
    assert applies.plans == [(), *options]


def test_more_types_are_named_if_there_is_no_capacity_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    applies = Applies(monkeypatch, failure(), failure(), failure())
    with pytest.raises(PneumoError, match=r"no zone of .* has capacity for g5\.xlarge or g4dn\.xlarge now") as caught:
        applies.run()
    assert caught.value.code == Exit.PARTLY and "more types in gpu_types: g6.xlarge;" in caught.value.hint


@pytest.mark.parametrize(
    "other",
    [
        failure(kind="vcpu"),
        failure(provision.GPU_ADDRESS, "aws_nat_gateway.main"),
        failure('aws_instance.host["web-0"]'),
    ],
)
def test_another_failure_ends_the_apply(monkeypatch: pytest.MonkeyPatch, other: PneumoError) -> None:
    applies = Applies(monkeypatch, other)
    with pytest.raises(PneumoError) as caught:
        applies.run()
    assert caught.value is other and applies.plans == [()]


# --- the real thing: terraform with its AWS provider against the lab's API, with the resources of a GPU host --------

MAIN = """
variable "region" { type = string }
variable "stack" { type = string }
variable "gpu_type" { default = "g5.xlarge" }
variable "gpu_zone" { default = "" }
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}
provider "aws" {
  region      = var.region
  max_retries = 1
}
resource "aws_vpc" "main" { cidr_block = "10.20.0.0/16" }
resource "terraform_data" "gpu" { input = var.gpu_type }
resource "aws_subnet" "train" {
  vpc_id            = aws_vpc.main.id
  cidr_block        = "10.20.1.0/24"
  availability_zone = var.gpu_zone != "" ? var.gpu_zone : "eu-west-1a"
  lifecycle {
    ignore_changes       = [availability_zone]
    replace_triggered_by = [terraform_data.gpu]
  }
}
resource "aws_instance" "host" {
  for_each      = toset(["train"])
  ami           = "ami-0deb0000000000003"
  instance_type = var.gpu_type
  subnet_id     = aws_subnet.train.id
}
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(tmp_path_factory.mktemp("api")) as running_api:
        yield running_api


def test_terraform_moves_the_subnet_and_a_second_plan_is_empty(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terraform = with_provider(api, tmp_path, monkeypatch, MAIN)
    terraform.prepare({"region": "eu-west-1", "stack": "t"}, "", "eu-west-1", "t")
    aws_ctx: Any = aws_context(Aws("", "eu-west-1"), gpu_types="g4dn.xlarge")
    with attached(terraform.directory, terraform.environment) as environment:
        provided = replace(terraform, environment=environment)
        aws_ctx = replace(aws_ctx, terraform=provided, stack=Stack("t", tmp_path / "stack"))
        faults = [{"name": "g5.xlarge", "zone": ""}, {"name": "g4dn.xlarge", "zone": "eu-west-1a"}]
        for fault in faults:
            api.ask("POST", "faults", {"kind": "no-capacity", **fault})
        gpu_placement.apply(aws_ctx, provided.save_plan())
        made = {resource.address: resource.values for resource in provided.resources()}
        again = provided.save_plan(options=("-var=gpu_type=g4dn.xlarge",))  # as the next `up`: see Context.gpu_type

    assert made["aws_subnet.train"]["availability_zone"] == "eu-west-1b"
    assert made[provision.GPU_ADDRESS]["instance_type"] == "g4dn.xlarge"
    assert again.no_op
