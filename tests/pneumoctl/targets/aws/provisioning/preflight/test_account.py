"""The preflight as a whole, the account's region and credentials, and answers that AWS denies."""

from dataclasses import replace

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.provisioning.preflight import rows
from pneumoctl.targets.common.checks import require
from tests.pneumoctl.cloud import Cloud
from tests.pneumoctl.targets.aws.provisioning.preflight.checked_rows import PROGRAMS, SETTINGS, failed_rows, row_of

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


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
