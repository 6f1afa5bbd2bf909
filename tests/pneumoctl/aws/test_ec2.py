"""Calls to EC2: the region, the account, confirmed stops, and a clear message for each error."""

import time
from collections.abc import Iterator
from pathlib import Path
from socket import socket

import pytest

from pneumoctl.aws import api
from pneumoctl.aws import ec2 as module
from pneumoctl.aws.ec2 import Aws
from pneumoctl.errors import Exit, PneumoError
from tests.pneumoctl.cloud import ACCOUNT, REGION, Cloud, launch

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries are botocore's and ours; what is tested is how often and with which end."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    monkeypatch.setattr(module, "POLL_S", 0.05)


def failing(act: object) -> PneumoError:
    with pytest.raises(PneumoError) as raised:
        act()  # type: ignore[operator]
    return raised.value


# where


def test_region_setting_before_environment_before_profile(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile work]\nregion = eu-north-1\n")
    assert Aws("work", "eu-west-3", {"AWS_REGION": "eu-west-2"}).region == "eu-west-3"
    assert Aws("work", "", {"AWS_REGION": "eu-west-2"}).region == "eu-west-2"
    assert Aws("work", "", {}).region == "eu-north-1"


def test_region_default_of_the_environment(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert Aws().region == "us-west-2"


def test_no_region(cloud: Cloud) -> None:
    error = failing(lambda: Aws("", "", {}))
    assert (error.message, error.code) == ("no AWS region is set", Exit.USAGE)
    assert "AWS_REGION" in error.hint


@pytest.mark.parametrize(("typo", "near"), [("eu-wset-1", "eu-west-1"), ("us-east1", "us-east-1"), ("frankfurt", "")])
def test_region_typo_names_the_nearest(cloud: Cloud, typo: str, near: str) -> None:
    error = failing(lambda: Aws("", typo))
    assert error.message == f"AWS has no region {typo!r}"
    assert error.code == Exit.USAGE
    assert f"did you mean {near}?" in error.hint or not near


def test_identity(cloud: Cloud) -> None:
    account = cloud.fresh().identity()
    assert account.id == ACCOUNT
    assert account.arn.startswith("arn:aws:")
    assert account.skew is not None
    assert abs(account.skew) < 5


def test_clients_are_made_once(cloud: Cloud) -> None:
    aws = cloud.aws()
    assert aws.client("ec2") is aws.client("ec2")


# errors


@pytest.mark.parametrize(
    ("fault", "kind", "message", "hint"),
    [
        ({"kind": "denied"}, "denied", "AWS denies ec2:DescribeVpcs", "have ec2:DescribeVpcs allowed"),
        ({"kind": "throttled"}, "throttled", "after 3 attempts", "wait a minute"),
        ({"kind": "expired"}, "expired", "have expired", "aws sso login"),
        ({"kind": "invalid"}, "invalid", "does not accept the credentials", "enable-region --region-name eu-west-1"),
        ({"kind": "error", "code": "OptInRequired", "status": 401}, "opt-in", "not signed up", "enable-region"),
        ({"kind": "error", "code": "InternalError", "status": 500}, "internal", "an internal error", "some minutes"),
        ({"kind": "error", "code": "Odd", "message": "No."}, "refused", "refused ec2:DescribeVpcs: No", ""),
        ({"kind": "down"}, "unreachable", "cannot be reached in eu-west-1", "AWS_ENDPOINT_URL"),
    ],
)
def test_each_error_has_a_message_and_a_next_step(
    cloud: Cloud, fault: dict[str, object], kind: str, message: str, hint: str
) -> None:
    cloud.fault(**{"service": "ec2", **fault})  # type: ignore[arg-type]
    error = failing(lambda: cloud.aws().call("ec2", "describe_vpcs"))
    assert error.details["aws"] == kind
    assert message in error.message
    assert hint in error.hint
    assert error.code == Exit.FAILED
    assert error.details["action"] == "ec2:DescribeVpcs"


def test_temporary_throttling_is_retried(cloud: Cloud) -> None:
    cloud.fault("throttled", service="ec2", times=2)
    assert cloud.aws().call("ec2", "describe_vpcs")["Vpcs"]


def test_no_credentials(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = failing(cloud.fresh().identity)
    assert (error.message, error.details["aws"]) == ("there are no AWS credentials", "no credentials")
    assert "aws configure" in error.hint


def test_half_of_the_credentials(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = failing(cloud.fresh().identity)
    assert error.details["aws"] == "partial"
    assert "AWS_SECRET_ACCESS_KEY" in error.hint


def test_unknown_profile(cloud: Cloud) -> None:
    error = failing(lambda: Aws("nobody", REGION).identity())
    assert error.details["aws"] == "profile"
    assert "nobody" in error.message


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "AuthFailure", "RequestExpired"])
def test_a_wrong_clock_is_named(cloud: Cloud, code: str) -> None:
    cloud.fault("skew", seconds=-900)
    cloud.fault("error", service="ec2", code=code, status=403)
    error = failing(lambda: cloud.aws().call("ec2", "describe_vpcs"))
    assert error.message.startswith("this machine's clock is 15 minutes off")
    assert "timedatectl" in error.hint
    assert cloud.fresh().identity().skew == pytest.approx(900, abs=5)


def test_action_as_iam_spells_it(cloud: Cloud) -> None:
    cloud.fault("denied", service="s3")
    for operation, action in (("list_object_versions", "s3:ListBucketVersions"), ("head_bucket", "s3:ListBucket")):
        error = failing(lambda one=operation: cloud.aws().call("s3", one, Bucket="some-bucket"))
        assert (error.details["aws"], error.details["action"]) == ("denied", action)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts connections and never answers."""
    with socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        yield listening.getsockname()[1]


def test_an_unreachable_endpoint_times_out(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, silent_port: int) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent_port}")
    monkeypatch.setattr(api, "READ_S", 0.3)
    begun = time.monotonic()
    assert failing(cloud.fresh().identity).details["aws"] == "unreachable"
    assert time.monotonic() - begun >= 0.9  # each attempt waited once


def test_the_limits_give_up_within_twenty_seconds() -> None:
    pauses = sum(2**attempt for attempt in range(api.ATTEMPTS - 1))
    assert api.ATTEMPTS * max(api.CONNECT_S, api.READ_S) + pauses < 20


# instances


def test_instances_of_this_stack_only(cloud: Cloud) -> None:
    aws = cloud.aws()
    mine, other = launch(aws, "i1", "web-0", "web"), launch(aws, "i1-b", "web-0", "web")
    aws.call("ec2", "terminate_instances", InstanceIds=[launch(aws, "i1", "gone", "app").id])
    assert [(instance.id, instance.name, instance.role, instance.state) for instance in aws.instances("i1")] == [
        (mine.id, "web-0", "web", "running")
    ]
    assert [instance.id for instance in aws.instances("i1-b")] == [other.id]


def test_stop_waits_until_ec2_confirms(cloud: Cloud) -> None:
    aws = cloud.aws()
    host = launch(aws, "s1", "train", "train")
    seen: list[dict[str, str]] = []
    aws.stop([host], seen.append, timeout=120)
    assert seen[-1] == {host.id: "stopped"}
    since = cloud.last()
    aws.stop([host], timeout=120)
    assert "ec2:StopInstances" not in cloud.calls(since)


def test_stop_retries_a_temporary_failure(cloud: Cloud) -> None:
    aws = cloud.aws()
    host = launch(aws, "s2", "train", "train")
    cloud.fault("error", service="ec2", action="StopInstances", code="InternalError", status=500, times=7)
    aws.stop([host], timeout=120)
    assert aws.states([host.id]) == {host.id: "stopped"}


def test_an_unconfirmed_stop_of_the_gpu_host_is_the_first_error(cloud: Cloud) -> None:
    aws = cloud.aws()
    host = launch(aws, "s3", "train", "train")
    cloud.fault("error", service="ec2", action="StopInstances", code="InternalError", status=500)
    error = failing(lambda: aws.stop([host], timeout=0.3))
    assert error.code == Exit.GPU_NOT_STOPPED
    assert f"not confirmed stopped: train ({host.id})" in error.message
    assert f"aws ec2 stop-instances --region eu-west-1 --instance-ids {host.id}" in error.hint


def test_an_unconfirmed_stop_of_another_host_fails(cloud: Cloud) -> None:
    aws = cloud.aws()
    host = launch(aws, "s4", "web-0", "web")
    cloud.fault("denied", service="ec2", action="StopInstances")
    error = failing(lambda: aws.stop([host], timeout=30))  # a denial does not pass: no waiting
    assert error.code == Exit.FAILED
    assert "AWS denies ec2:StopInstances" in error.message


def test_stop_of_a_missing_instance(cloud: Cloud) -> None:
    aws = cloud.aws()
    host = launch(aws, "s5", "train", "train")
    aws.call("ec2", "terminate_instances", InstanceIds=[host.id])
    aws.stop([host], timeout=120)


def test_console_output(cloud: Cloud) -> None:
    aws = cloud.aws()
    host = launch(aws, "c1", "web-0", "web")
    directory = cloud.state / "hosts" / host.id
    directory.mkdir(parents=True)
    (directory / "console.log").write_text("pneumoctl-boot: ok\n")
    assert "pneumoctl-boot: ok" in aws.console_output(host.id)


def test_console_output_where_the_latest_is_not_to_be_had(cloud: Cloud) -> None:
    aws = cloud.aws()
    host = launch(aws, "c2", "web-0", "web")
    cloud.fault("error", service="ec2", action="GetConsoleOutput", code="UnsupportedOperation", times=1)
    assert isinstance(aws.console_output(host.id), str)


def test_console_output_denied(cloud: Cloud) -> None:
    cloud.fault("denied", service="ec2", action="GetConsoleOutput")
    assert failing(lambda: cloud.aws().console_output("i-0")).details["action"] == "ec2:GetConsoleOutput"
