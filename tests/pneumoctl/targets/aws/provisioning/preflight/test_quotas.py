"""The preflight checks what the account's quotas allow."""

from dataclasses import replace

import pytest

from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.provisioning import quotas
from pneumoctl.targets.aws.provisioning.preflight import rows
from pneumoctl.targets.common.checks import Row
from tests.pneumoctl.cloud import Cloud, launch, tags
from tests.pneumoctl.targets.aws.provisioning.preflight.checked_rows import SETTINGS, TERRAFORM, row_of

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


def test_as_many_addresses_as_terraform_makes() -> None:
    text = (TERRAFORM / "hosts.tf").read_text() + (TERRAFORM / "network.tf").read_text()
    assert text.count('resource "aws_eip"') == 2
    assert 'toset(["nginx", "monitoring"])' in text
    assert quotas.ADDRESSES == 3


def test_vcpu_quota_that_others_have_used_up(cloud: Cloud, stack: Stack) -> None:
    launch(cloud.aws(), "other", "web-0", "web", "t3.xlarge")
    cloud.fault("quota", name="L-1216C47A", value=11)
    row = row_of(stack, "vCPU quota standard (L-1216C47A)")
    assert (row.good, row.seen) == (False, "11, others use 4, this stack needs 8")
    assert "--quota-code L-1216C47A --desired-value 12" in row.fix


def test_vcpus_of_this_stack_are_not_counted_twice(cloud: Cloud, stack: Stack) -> None:
    launch(cloud.aws(), "pre", "app-0", "app", "t3.medium")
    cloud.fault("quota", name="L-1216C47A", value=8)
    row = row_of(stack, "vCPU quota standard")
    assert (row.good, row.seen) == (True, "8, others use 0, this stack needs 8")


def test_more_hosts_need_more_vcpus(cloud: Cloud, stack: Stack) -> None:
    row = row_of(stack, "vCPU quota standard", replace(SETTINGS, app_count=3, web_count=2))
    assert row.seen == "32, others use 0, this stack needs 14"


@pytest.mark.parametrize(("kind", "code"), [("g5.xlarge", "L-DB2E81BA"), ("p3.2xlarge", "L-417A185B")])
def test_no_gpu_quota(cloud: Cloud, stack: Stack, kind: str, code: str) -> None:
    cloud.fault("quota", name=code, value=0)
    settings = replace(SETTINGS, gpu_type=kind)
    row = next(row for row in rows(settings, stack) if code in row.check)
    assert row.good
    assert row.seen.endswith("in training: request an increase before that")
    row = next(row for row in rows(replace(settings, gpu_host=True), stack) if code in row.check)
    assert not row.good
    assert f"--quota-code {code}" in row.fix


@pytest.mark.parametrize(("kind", "code", "needed"), [("g5.xlarge", "L-3819A6DF", 4), ("p3.2xlarge", "L-7212CCBC", 8)])
def test_the_quota_of_spot_instances_is_told(cloud: Cloud, stack: Stack, kind: str, code: str, needed: int) -> None:
    settings = replace(SETTINGS, gpu_type=kind, gpu_host=True)
    check = f"spot vCPU quota ({code})"
    assert row_of(stack, check, settings) == Row(check, True, f"8, train --spot needs {needed}")
    cloud.fault("quota", name=code, value=0)
    row = row_of(stack, check, settings)
    assert row.good and f"--quota-code {code} --desired-value {needed})" in row.seen


def test_the_role_of_spot_instances_is_told(cloud: Cloud, stack: Stack) -> None:
    row = row_of(stack, "spot role")
    assert row.good and "create-service-linked-role --aws-service-name spot.amazonaws.com" in row.seen
    cloud.aws().call("iam", "create_role", RoleName=quotas.SPOT_ROLE, AssumeRolePolicyDocument="{}")
    seen = row_of(stack, "spot role").seen
    cloud.aws().call("iam", "delete_role", RoleName=quotas.SPOT_ROLE)
    assert seen == quotas.SPOT_ROLE
    cloud.fault("denied", service="iam", action="GetRole")
    row = row_of(stack, "spot role")
    assert row.good and "not known: AWS denies iam:GetRole" in row.seen


def test_a_family_with_a_quota_of_its_own_is_said(cloud: Cloud, stack: Stack) -> None:
    assert row_of(stack, "vCPU quota for x1e.xlarge", replace(SETTINGS, app_type="x1e.xlarge")).good


@pytest.mark.parametrize(
    ("kind", "code"),
    [("t3.micro", "L-1216C47A"), ("im4gn.large", "L-1216C47A"), ("g4dn.xlarge", "L-DB2E81BA"), ("x2idn.large", None)],
)
def test_quota_of_a_type(kind: str, code: str | None) -> None:
    assert quotas.quota_of(kind) == code


def test_elastic_ips_used_up(cloud: Cloud, stack: Stack) -> None:
    aws = cloud.aws()
    put = [{"ResourceType": "elastic-ip", "Tags": tags("pre", "nginx")}]
    aws.call("ec2", "allocate_address", TagSpecifications=put)  # ours, from an earlier try
    for _ in range(2):
        aws.call("ec2", "allocate_address")
    row = row_of(stack, "elastic IPs")
    assert (row.good, row.seen) == (True, "5 allowed, others use 2, this stack needs 3")
    aws.call("ec2", "allocate_address")
    row = row_of(stack, "elastic IPs")
    assert not row.good
    assert "--quota-code L-0263D0A3 --desired-value 6" in row.fix


def test_vpcs_used_up(cloud: Cloud, stack: Stack) -> None:
    cloud.fault("quota", name="L-F678F1CE", value=1)  # the default VPC is there
    row = row_of(stack, "VPCs")
    assert (row.good, row.seen) == (False, "1 allowed, others use 1, this stack needs 1")
    assert "--service-code vpc --quota-code L-F678F1CE --desired-value 2" in row.fix
