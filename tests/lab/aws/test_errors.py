"""Errors before anything is created: the message, the next command and the exit code of each."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.machine.lab import Lab

AGENT = "boto3"  # without a terraform that still completes the work of another test
OTHER = "other"  # a stack that is never created
BUCKET = f"pneumoctl-{OTHER}-123456789012-eu-west-1"
each_row = pytest.mark.repeat  # tests/pneumoctl/targets/aws/provisioning/preflight tests each row of the preflight


@pytest.fixture(autouse=True)
def nothing_changes(lab: Lab) -> Iterator[None]:
    """Raise the quotas, because the stack `default` also uses them, and check that no test here changes anything."""
    lab.fault.clear()
    lab.fault.api("quota", name="L-0263D0A3", value=50)
    lab.reset_calls()
    yield
    lab.fault.clear()
    assert calls_of_pneumoctl(lab.mutating_calls()) == []
    assert not (lab.paths.home / ".local/state/pneumoctl" / OTHER).exists()


def calls_of_pneumoctl(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [call for call in calls if call["agent"] == AGENT]


def failing_up(lab: Lab, code: int, *prefix: str, **env: str) -> str:
    """The error message of `up`. `prefix`: arguments before the command."""
    return lab.run([*prefix, "pneumoctl", "up", "-y", "--stack", OTHER], code, env=env).stderr


@each_row
def test_without_terraform(lab: Lab, tmp_path: Path) -> None:
    tools = {"pneumoctl": lab.environment()["PATH"].split(":")[0] + "/pneumoctl", "ssh": "/usr/bin/ssh"}
    for name, program in tools.items():
        (tmp_path / name).symlink_to(program)
    stderr = lab.run(["env", f"PATH={tmp_path}", f"{tmp_path}/pneumoctl", "up", "-y", "--stack", OTHER], 4).stderr

    assert "error: preflight failed: terraform: terraform is not installed" in stderr
    assert "next: install terraform, 1.10 or newer: https://developer.hashicorp.com/terraform/install" in stderr


@each_row
@pytest.mark.parametrize("version", ["1.9.8", "2.0.0"])
def test_with_a_terraform_of_another_version(lab: Lab, tmp_path: Path, version: str) -> None:
    stub = tmp_path / "terraform"
    stub.write_text(f'#!/bin/sh\necho \'{{"terraform_version": "{version}"}}\'\n')
    stub.chmod(0o755)
    stderr = failing_up(lab, 4, PATH=f"{tmp_path}{os.pathsep}{lab.environment()['PATH']}")

    assert f"preflight failed: terraform: {version}" in stderr
    assert "next: install terraform, 1.10 or newer" in stderr and "older than 2" in stderr


def test_without_credentials(lab: Lab) -> None:
    stderr = failing_up(lab, 4, "env", "-u", "AWS_ACCESS_KEY_ID", "-u", "AWS_SECRET_ACCESS_KEY")

    assert "credentials: there are no AWS credentials" in stderr
    assert "next: aws configure, or export AWS_PROFILE=NAME" in stderr


@each_row
def test_with_credentials_that_have_expired(lab: Lab) -> None:
    lab.fault.api("expired", agent=AGENT)
    stderr = failing_up(lab, 4)

    assert "credentials: the AWS credentials have expired" in stderr
    assert "next: aws sso login, or get new temporary credentials" in stderr


@each_row
def test_with_credentials_that_aws_does_not_know(lab: Lab) -> None:
    lab.fault.api("invalid", agent=AGENT)
    stderr = failing_up(lab, 4)

    assert (
        "credentials: AWS does not accept the credentials (InvalidClientTokenId from sts:GetCallerIdentity)" in stderr
    )
    assert "next: aws sts get-caller-identity --region us-east-1" in stderr


@each_row
@pytest.mark.parametrize(
    ("code", "of", "gpu"), [("L-1216C47A", "standard", "false"), ("L-DB2E81BA", "G and VT", "true")]
)
def test_without_quota(lab: Lab, code: str, of: str, gpu: str) -> None:
    lab.fault.api("quota", name=code, value=1)
    stderr = failing_up(lab, 4, PNEUMO_GPU_HOST=gpu)

    assert f"preflight failed: vCPU quota {of} ({code}): 1, others use " in stderr
    assert "next: aws service-quotas request-service-quota-increase --region eu-west-1" in stderr
    assert f"--quota-code {code} --desired-value" in stderr


@each_row
def test_with_too_few_elastic_addresses(lab: Lab) -> None:
    lab.fault.clear()
    lab.fault.api("quota", name="L-0263D0A3", value=2)

    assert "elastic IPs: 2 allowed, others use " in failing_up(lab, 4)


@each_row
def test_with_a_type_that_is_offered_nowhere_near(lab: Lab) -> None:
    lab.fault.api("not-offered", name="t3.medium")
    stderr = failing_up(lab, 4)

    assert "types t3.medium, t3.small: t3.medium is not offered in eu-west-1" in stderr
    assert "next: set app_type to a type that is: t3" in stderr


@each_row
def test_with_types_that_no_zone_offers_together(lab: Lab) -> None:
    for name, zones in {"t3.medium": "a", "t3.small": "bc"}.items():
        for zone in zones:
            lab.fault.api("not-offered", name=name, zone=f"eu-west-1{zone}")
    stderr = failing_up(lab, 4)

    assert "no zone of eu-west-1 offers t3.small and t3.medium together" in stderr
    assert "next: set web_type or app_type to another type" in stderr


@each_row
def test_with_a_region_that_does_not_exist(lab: Lab) -> None:
    stderr = failing_up(lab, 2, PNEUMO_REGION="eu-wset-1")

    assert "error: AWS has no region 'eu-wset-1'" in stderr
    assert "next: did you mean eu-west-1?" in stderr
    assert calls_of_pneumoctl(lab.calls()) == []


@each_row
def test_with_a_bucket_that_is_somebody_elses(lab: Lab) -> None:
    lab.fault.api("bucket-taken", name=BUCKET)
    stderr = failing_up(lab, 4)

    assert f"bucket: {BUCKET} belongs to another account" in stderr
    assert 'next: set bucket = "ANOTHER-NAME" in pneumo.toml' in stderr


@each_row
def test_with_an_aws_that_throttles_every_call(lab: Lab) -> None:
    lab.fault.api("throttled", agent=AGENT)
    stderr = failing_up(lab, 4)

    assert "AWS still throttles sts:GetCallerIdentity after 3 attempts" in stderr
    assert "next: wait a minute, then run the same command again" in stderr


def test_doctor_names_every_row_that_fails_with_its_fix(lab: Lab) -> None:
    lab.fault.api("not-offered", name="t3.medium")
    lab.fault.api("bucket-taken", name=BUCKET)
    output = lab.run(["pneumoctl", "doctor", "--target", "aws", "--stack", OTHER], 4).stdout

    assert "t3.medium is not offered in eu-west-1" in output and "set app_type to a type that is" in output
    assert "belongs to another account" in output and "set bucket" in output
