"""The aws target's preflight: every check passing and failing, each failure with its fix, without creating anything."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl import installation
from pneumoctl.aws.leftovers import bucket_name
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.ssh import keys
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.provisioning import preflight, quotas
from pneumoctl.targets.aws.provisioning.preflight import rows
from pneumoctl.targets.common.checks import Row, require
from tests.pneumoctl.cloud import ACCOUNT, REGION, Cloud, launch, tags

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]
SETTINGS = Settings(stack="pre", target="aws", region=REGION, operator_cidr="198.51.100.7/32")
PROGRAMS = {"terraform", "ssh client"}
TERRAFORM = Path(__file__).parents[5] / "terraform"


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack("pre", tmp_path / "state" / "pre")


@pytest.fixture(autouse=True)
def quick(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """One set of clients for all tests: making them takes most of a second; and no pauses between tries."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    monkeypatch.setattr(preflight, "Aws", lambda *_: cloud.aws())


@pytest.fixture
def real_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the environment, which clients read when they are made."""
    from pneumoctl.aws.ec2 import Aws

    monkeypatch.setattr(preflight, "Aws", Aws)


def row_of(stack: Stack, check: str, settings: Settings = SETTINGS) -> Row:
    every = rows(settings, stack)
    return next(row for row in every if row.check.startswith(check))


def failed_rows(stack: Stack, settings: Settings = SETTINGS) -> list[Row]:
    """The failing rows, apart from those of programs that the machine of the tests may lack."""
    return [row for row in rows(settings, stack) if not row.good and row.check not in PROGRAMS]


def test_a_ready_account_passes_and_nothing_is_made(cloud: Cloud, stack: Stack) -> None:
    since = cloud.last()
    every = rows(SETTINGS, stack)
    assert [row for row in every if not row.good and row.check not in PROGRAMS] == []
    assert cloud.ask("GET", f"calls?since={since}")["mutating"] == 0
    assert not stack.directory.exists()
    checks = [row.check for row in every]
    for check in ("region", "credentials", "clock", "region enabled", "types", "vCPU quota", "elastic IPs", "VPCs"):
        assert any(name.startswith(check) for name in checks), check
    for check in (
        "image Debian",
        "image GPU",
        "bucket",
        "terraform",
        "ssh",
        "packages",
        "model",
        "key",
        "disk",
        "operator",
    ):
        assert any(name.startswith(check) for name in checks), check
    assert all(row.fix for row in every if not row.good)


def test_a_failing_row_ends_with_exit_4(cloud: Cloud, stack: Stack) -> None:
    cloud.fault("not-offered", name="t3.small")
    with pytest.raises(PneumoError, match=r"t3\.small is not offered in eu-west-1") as raised:
        require(rows(SETTINGS, stack))
    assert raised.value.code == Exit.PREFLIGHT


# who and where


def test_region_typo(real_clients: None, cloud: Cloud, stack: Stack) -> None:
    (row,) = failed_rows(stack, replace(SETTINGS, region="eu-wset-1"))
    assert (row.check, row.seen) == ("region", "AWS has no region 'eu-wset-1'")
    assert "did you mean eu-west-1?" in row.fix


def test_no_credentials(real_clients: None, cloud: Cloud, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (row,) = failed_rows(stack)
    assert (row.check, row.seen) == ("credentials", "there are no AWS credentials")
    assert "aws configure" in row.fix
    with pytest.raises(PneumoError) as raised:
        require([row])
    assert raised.value.code == Exit.PREFLIGHT


@pytest.mark.parametrize(
    ("kind", "seen"), [("expired", "have expired"), ("invalid", "does not accept"), ("throttled", "throttles")]
)
def test_credentials_that_do_not_work_are_one_row(
    real_clients: None, cloud: Cloud, stack: Stack, kind: str, seen: str
) -> None:
    cloud.fault(kind)
    (row,) = failed_rows(stack)
    assert row.check == "credentials"
    assert seen in row.seen
    assert row.fix


def test_clock(real_clients: None, cloud: Cloud, stack: Stack) -> None:
    cloud.fault("skew", seconds=600)
    row = row_of(stack, "clock")
    assert not row.good
    assert row.seen.endswith("s behind AWS")
    assert "timedatectl" in row.fix


# what the region has


def test_a_type_that_is_not_offered(cloud: Cloud, stack: Stack) -> None:
    cloud.fault("not-offered", name="t3.medium")
    row = row_of(stack, "types t3.medium")
    assert (row.good, row.seen) == (False, "t3.medium is not offered in eu-west-1")
    assert row.fix.startswith("set app_type to a type that is: t3")


def test_a_misspelt_type(cloud: Cloud, stack: Stack) -> None:
    row = row_of(stack, "types t3.meduim", replace(SETTINGS, app_type="t3.meduim"))
    assert not row.good
    assert "t3.medium" in row.fix


def test_types_that_are_never_in_one_zone(cloud: Cloud, stack: Stack) -> None:
    cloud.fault("not-offered", name="t3.micro", zone="eu-west-1a")
    cloud.fault("not-offered", name="t3.small", zone="eu-west-1b")
    cloud.fault("not-offered", name="t3.small", zone="eu-west-1c")
    row = row_of(stack, "types t3.micro, t3.small")
    assert (row.good, row.seen) == (False, "no zone of eu-west-1 offers t3.micro and t3.small together")
    assert "nginx_type or monitoring_type" in row.fix


def test_a_gpu_type_that_is_not_offered_fails_only_with_a_gpu_host(cloud: Cloud, stack: Stack) -> None:
    cloud.fault("not-offered", name="g5.xlarge")
    row = row_of(stack, "types g5.xlarge")
    assert row.good
    assert "training will need another" in row.seen
    row = row_of(stack, "types g5.xlarge", replace(SETTINGS, gpu_host=True))
    assert not row.good
    assert row.fix.startswith("set gpu_type to a type that is: g")


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("g4ad.xlarge", "g4ad.xlarge has an AMD Radeon Pro V520, which has no CUDA"),
        ("p2.xlarge", "p2.xlarge has an NVIDIA K80, which is too old for the images' driver"),
        ("g3.4xlarge", "g3.4xlarge has an NVIDIA M60, which is too old for the images' driver"),
        ("g6f.large", "g6f.large has a part of an NVIDIA L4, which needs a driver that the images lack"),
        ("t3.large", "t3.large has no GPU"),
    ],
)
def test_a_gpu_that_the_training_cannot_use_fails_only_with_a_gpu_host(
    cloud: Cloud, stack: Stack, kind: str, why: str
) -> None:
    row = row_of(stack, "GPU", replace(SETTINGS, gpu_type=kind))
    assert (row.good, row.seen) == (True, f"{why}: training will need another type")
    row = row_of(stack, "GPU", replace(SETTINGS, gpu_type=kind, gpu_host=True))
    assert (row.good, row.seen) == (False, why) and "g5.xlarge" in row.fix


@pytest.mark.parametrize("kind", ["g4dn.xlarge", "g5.xlarge", "g6.xlarge", "p3.2xlarge", "p4d.24xlarge"])
def test_a_gpu_that_the_training_can_use(cloud: Cloud, stack: Stack, kind: str) -> None:
    assert row_of(stack, "GPU", replace(SETTINGS, gpu_type=kind, gpu_host=True)).good


def test_every_type_that_the_gpu_host_may_have_is_checked(cloud: Cloud, stack: Stack) -> None:
    failed = failed_rows(stack, replace(SETTINGS, gpu_types="g4dn.xlarge g4ad.xlarge", gpu_host=True))
    assert [row.seen for row in failed] == ["g4ad.xlarge has an AMD Radeon Pro V520, which has no CUDA"]


def test_a_type_with_another_processor_than_the_images(cloud: Cloud, stack: Stack) -> None:
    settings = replace(SETTINGS, web_type="t4g.small", gpu_type="g5g.xlarge")
    row = row_of(stack, "processors", settings)
    assert (row.good, row.seen) == (False, "t4g.small has an arm64 processor, and the images are for x86_64")
    assert row.fix == "set web_type to a type for x86_64, as t3.small"
    row = row_of(stack, "processors", replace(settings, gpu_host=True))
    assert not row.good and "g5g.xlarge has an arm64 processor" in row.seen


def test_deprecated_images_are_found_as_by_terraform(cloud: Cloud, stack: Stack) -> None:
    cloud.fault("deprecated", name="")
    assert "debian-12-amd64" in row_of(stack, "image Debian").seen
    text = (TERRAFORM / "hosts.tf").read_text()
    assert text.count('data "aws_ami"') == len(re.findall(r"include_deprecated += true", text)) == 2


def test_images(cloud: Cloud, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "debian-12-amd64" in row_of(stack, "image Debian").seen
    monkeypatch.setattr(preflight, "DEBIAN", ("136693071363", "debian-99-*"))
    monkeypatch.setattr(preflight, "GPU", ("amazon", "No Such Image"))
    assert [row.check for row in failed_rows(stack)] == ["image Debian"]
    assert "training will need one" in row_of(stack, "image GPU").seen
    assert [row.check for row in failed_rows(stack, replace(SETTINGS, gpu_host=True))] == ["image Debian", "image GPU"]


def test_the_image_for_volta_has_its_own_driver(cloud: Cloud, stack: Stack) -> None:
    row = row_of(stack, "image GPU", replace(SETTINGS, gpu_type="p3.2xlarge"))
    assert "Proprietary" in row.seen


def test_images_are_named_as_terraform_names_them() -> None:
    text = (TERRAFORM / "hosts.tf").read_text()
    assert "for year in [2024, 2025]" in text
    text = text.replace("${year}", "2024") + text.replace("${year}", "2025")
    for words in (preflight.DEBIAN, preflight.GPU, preflight.GPU_P3):
        for word in words:
            assert f'"{word}"' in text


def test_as_many_addresses_as_terraform_makes() -> None:
    text = (TERRAFORM / "hosts.tf").read_text() + (TERRAFORM / "network.tf").read_text()
    assert text.count('resource "aws_eip"') == 2
    assert 'toset(["nginx", "monitoring"])' in text
    assert quotas.ADDRESSES == 3


# what the account allows


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


@pytest.mark.parametrize(
    ("service", "action", "check"),
    [
        ("ec2", "DescribeInstanceTypeOfferings", "types"),
        ("servicequotas", "GetServiceQuota", "vCPU quota"),
        ("ec2", "DescribeImages", "image Debian"),
        ("ec2", "DescribeAddresses", "elastic IPs"),
        ("ec2", "DescribeVpcs", "VPCs"),
        ("ec2", "DescribeRegions", "region enabled"),
    ],
)
def test_a_denied_question_fails_and_names_the_permission(
    cloud: Cloud, stack: Stack, service: str, action: str, check: str
) -> None:
    cloud.fault("denied", service=service, action=action)
    row = row_of(stack, check)
    assert not row.good
    assert f"{service}:{action}" in row.fix


def test_throttling_that_stays(cloud: Cloud, stack: Stack) -> None:
    cloud.fault("throttled", service="ec2", action="DescribeVpcs")
    row = row_of(stack, "VPCs")
    assert not row.good
    assert "throttles" in row.seen
    assert "wait a minute" in row.fix


# buckets


def test_a_bucket_name_that_is_taken(cloud: Cloud, stack: Stack) -> None:
    cloud.fault("bucket-taken", name=bucket_name("pre", ACCOUNT, REGION))
    row = row_of(stack, "bucket")
    assert not row.good
    assert "belongs to another account" in row.seen
    assert "set bucket =" in row.fix


def test_a_bucket_of_ours_of_another_stack_and_of_nobody(cloud: Cloud, stack: Stack) -> None:
    aws = cloud.aws()
    settings = replace(SETTINGS, bucket="kept-by-a-test")
    assert row_of(stack, "bucket", settings).seen == "kept-by-a-test is free"
    aws.call("s3", "create_bucket", Bucket="kept-by-a-test", CreateBucketConfiguration={"LocationConstraint": REGION})
    try:
        row = row_of(stack, "bucket", settings)
        assert (row.good, row.seen) == (False, "kept-by-a-test exists already, in eu-west-1, not of a stack")
        for owner, good in (("other", False), ("pre", True)):
            aws.call("s3", "put_bucket_tagging", Bucket="kept-by-a-test", Tagging={"TagSet": tags(owner, "x")})
            assert row_of(stack, "bucket", settings).good is good
    finally:
        aws.call("s3", "delete_bucket", Bucket="kept-by-a-test")


def test_a_bucket_name_that_is_too_long(cloud: Cloud, stack: Stack) -> None:
    row = row_of(stack, "bucket", replace(SETTINGS, stack="a-name-of-thirty-one-characters"))
    assert not row.good
    assert "longer than 63 characters" in row.seen


def test_state_bucket(cloud: Cloud, stack: Stack) -> None:
    row = row_of(stack, "state bucket", replace(SETTINGS, state_bucket="nowhere-to-be-found"))
    assert not row.good
    assert "aws s3 mb s3://nowhere-to-be-found --region eu-west-1" in row.fix


# this machine


def test_terraform_missing(cloud: Cloud, stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    rest = {row.check: row for row in rows(SETTINGS, stack) if not row.good}
    assert set(rest) == PROGRAMS
    assert rest["terraform"].fix
    assert "openssh-client" in rest["ssh client"].fix


@pytest.mark.parametrize(("version", "good"), [("1.9.8", False), ("1.10.0", True), ("1.14.2", True), ("2.0.0", False)])
def test_terraform_of_another_version(
    cloud: Cloud, stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, good: bool
) -> None:
    program = tmp_path / "bin" / "terraform"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho \'{{"terraform_version": "{version}"}}\'\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    row = row_of(stack, "terraform")
    assert (row.good, row.seen) == (good, version)
    assert "install terraform, 1.10 or newer" in row.fix


def test_packages_missing(cloud: Cloud, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(installation.MODULES, "aws", ("boto3", "no_such_package"))
    row = row_of(stack, "packages")
    assert (row.good, row.seen) == (False, "missing: no_such_package")
    assert row.fix == installation.install_command("aws")


def test_a_model_that_cannot_be_deployed(cloud: Cloud, stack: Stack, tmp_path: Path) -> None:
    """It is detected before hosts are created."""
    row = row_of(stack, "model", replace(SETTINGS, model=str(tmp_path)))
    assert not row.good and "model bundle" in row.seen


def test_a_key_that_others_may_read(cloud: Cloud, stack: Stack) -> None:
    keys.key_pair(stack.ssh)
    key = stack.ssh / "id_ed25519"
    assert row_of(stack, "key").good
    key.chmod(0o644)
    row = row_of(stack, "key")
    assert not row.good
    assert row.fix == f"chmod 600 {key}"


def test_disk_full(cloud: Cloud, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "DISK_MB", 10**9)
    row = row_of(stack, "disk")
    assert not row.good
    assert row.fix.startswith("free ")


def test_operator_address_that_cannot_be_found(cloud: Cloud, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise PneumoError("your own public IPv4 address was not found", "set operator_cidr")

    monkeypatch.setattr(preflight, "public_address", unknown)
    assert row_of(stack, "operator address").good  # it is set
    row = row_of(stack, "operator address", replace(SETTINGS, operator_cidr=""))
    assert (row.good, row.fix) == (False, "set operator_cidr")
