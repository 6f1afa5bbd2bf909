"""A GPU host about which AWS does not answer may be on: exit code 7."""

import pytest

from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.cli.main import run as pneumoctl
from pneumoctl.gpu import scheduled_stop
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Run
from pneumoctl.stack.stack import Stack
from tests.pneumoctl.cloud import REGION, Cloud
from tests.pneumoctl.gpu.leases import RUN, lease

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


@pytest.mark.parametrize(
    "words",
    [
        ("gpu", "stop"),
        ("gpu", "status"),
        ("gpu", "guard"),
        ("gpu", "guard", "--drill", "idle", "-y"),
        ("runs", "cancel", RUN),
        ("cost",),
        ("train", "--gpu"),
        ("train", "--gpu", "--resume"),
    ],
    ids=" ".join,
)
def test_a_gpu_about_which_aws_does_not_answer_is_exit_7(
    aws: Aws, cloud: Cloud, stack: Stack, train: Instance, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    now = runs.format_time(scheduled_stop.now(aws))
    runs.save(stack, Run(RUN, "watch", "gpu", now, [], 600, 3600, instance=train.id, bucket="none", deadline=now))
    cloud.fault("denied", service="ec2", action="DescribeInstances")
    assert pneumoctl([*words, "--stack", "watch"]) == 7
    error = capsys.readouterr().err
    assert "not confirmed stopped" in error and f"aws ec2 stop-instances --region {REGION}" in error


@pytest.mark.parametrize("words", [("gpu", "guard"), ("gpu", "status")], ids=" ".join)
def test_a_gpu_of_which_a_failed_login_tells_nothing_is_exit_7(
    aws: Aws, cloud: Cloud, stack: Stack, train: Instance, words: tuple[str, ...]
) -> None:
    lease(aws, train)
    cloud.fault("denied", service="sts")
    assert pneumoctl([*words, "--stack", "watch"]) == 7
