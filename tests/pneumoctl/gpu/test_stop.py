"""`gpu stop` stops the GPU whatever is damaged or unreadable, and deletes the armed stops of hosts that it stopped."""

import json
from datetime import timedelta
from typing import Any

import pytest

from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.aws.leftovers import FIRST_BOOT
from pneumoctl.cli.main import run as pneumoctl
from pneumoctl.gpu import scheduled_stop
from pneumoctl.stack.stack import Stack
from tests.pneumoctl.cloud import ACCOUNT, REGION, Cloud, launch
from tests.pneumoctl.gpu.leases import RUN, lease, state

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


def test_status_and_stop(aws: Aws, stack: Stack, train: Instance, capsys: pytest.CaptureFixture[str]) -> None:
    assert pneumoctl(["gpu", "status", "--stack", "watch"]) == 7
    assert "NO LEASE" in capsys.readouterr().out
    lease(aws, train)
    assert pneumoctl(["gpu", "status", "--stack", "watch"]) == 0
    assert RUN in capsys.readouterr().out
    assert pneumoctl(["gpu", "stop", "--stack", "watch"]) == 0
    assert state(aws, train) == "stopped" and scheduled_stop.listed(aws, "watch") == []
    assert pneumoctl(["gpu", "stop", "--stack", "watch"]) == 0


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_gpu_is_stopped_although_files_of_the_stack_are_damaged(
    aws: Aws, stack: Stack, train: Instance, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.terraform.mkdir()
    variables = {"stack": "watch", "region": REGION, "bucket": f"pneumoctl-watch-{ACCOUNT}-{REGION}"}
    (stack.terraform / "terraform.tfvars.json").write_text(json.dumps(variables))
    for name in ("aws.json", "inventory.json", "secrets.json"):
        (stack.directory / name).write_text(content)
    assert pneumoctl(["gpu", "stop", "--stack", "watch"]) == 0
    assert state(aws, train) == "stopped"
    assert "aws.json is damaged" in capsys.readouterr().err


def test_a_stop_that_aws_denies_is_exit_7_and_leaves_the_schedule(
    aws: Aws, cloud: Cloud, stack: Stack, train: Instance, capsys: pytest.CaptureFixture[str]
) -> None:
    lease(aws, train)
    cloud.fault("denied", service="ec2", action="StopInstances")
    assert pneumoctl(["gpu", "stop", "--stack", "watch"]) == 7
    assert "aws ec2 stop-instances" in capsys.readouterr().err
    assert scheduled_stop.listed(aws, "watch")


def test_credentials_alone_stop_a_leased_gpu_of_a_stack_that_another_machine_made(
    aws: Aws, train: Instance, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION")
    lease(aws, train)
    words = ["--stack", "watch", "--region", REGION]
    assert pneumoctl(["gpu", "status", *words]) == 0
    assert f"run {RUN} of " in capsys.readouterr().out
    assert pneumoctl(["gpu", "stop", *words, "--json"]) == 0
    assert state(aws, train) == "stopped" and scheduled_stop.listed(aws, "watch") == []
    document = json.loads(capsys.readouterr().out)
    assert (document["changed"], document["hosts"][0]["state"]) == ([train.id], "stopped")
    assert pneumoctl(["gpu", "stop", *words]) == 0


def test_a_stack_that_is_nowhere_is_an_error_that_names_what_is_on(
    aws: Aws, train: Instance, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pneumoctl(["gpu", "stop", "--stack", "wacht", "--region", REGION]) == 2
    error = capsys.readouterr().err
    assert "no stack 'wacht' on this machine" in error and f"{train.id} of stack watch" in error
    assert state(aws, train) == "running"


def test_a_gpu_is_stopped_although_its_lease_cannot_be_read(
    aws: Aws, cloud: Cloud, stack: Stack, train: Instance, capsys: pytest.CaptureFixture[str]
) -> None:
    lease(aws, train)
    cloud.fault("denied", service="scheduler")
    assert pneumoctl(["gpu", "stop", "--stack", "watch"]) == 0
    assert state(aws, train) == "stopped"
    assert "the next train deletes it" in capsys.readouterr().err


def test_the_schedule_of_a_run_that_starts_meanwhile_is_kept(
    aws: Aws, stack: Stack, train: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Aws.training_hosts

    def start_a_run(self: Aws, name: str) -> list[Instance]:
        lease(aws, train)
        return listed(self, name)

    monkeypatch.setattr(Aws, "training_hosts", start_a_run)
    assert pneumoctl(["gpu", "stop", "--stack", "watch"]) == 0
    assert [armed.run for armed in scheduled_stop.listed(aws, "watch")] == [RUN]


def test_a_spot_instance_that_ec2_does_not_list_yet_is_terminated(
    aws: Aws, stack: Stack, spot_of_another_machine: Instance, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pneumoctl(["gpu", "stop", "--stack", "watch", "--json"]) == 0
    assert state(aws, spot_of_another_machine) == "terminated" and scheduled_stop.listed(aws, "watch") == []


def test_the_stop_of_a_first_boot_that_is_over_is_disabled(aws: Aws, stack: Stack, train: Instance) -> None:
    aws.stop([train], timeout=20)
    scheduled_stop.arm(aws, "watch", FIRST_BOOT + train.id, train, scheduled_stop.now(aws) + timedelta(minutes=15))
    assert pneumoctl(["gpu", "stop", "--stack", "watch"]) == 0
    assert scheduled_stop.listed(aws, "watch") == []


def test_the_armed_stop_of_a_host_that_is_about_to_start_stays(aws: Aws, stack: Stack, train: Instance) -> None:
    aws.stop([train], timeout=20)
    lease(aws, train)
    assert pneumoctl(["gpu", "stop", "--stack", "watch"]) == 0
    assert [lease.run for lease in scheduled_stop.listed(aws, "watch")] == [RUN]


def test_the_armed_stop_of_the_next_attempt_stays(
    aws: Aws, stack: Stack, train: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = launch(aws, "watch", "train-spot", "train", "g5.xlarge")
    aws.stop([other], timeout=20)
    lease(aws, train)
    halt = Aws.stop

    def stop_and_arm(self: Aws, *arguments: Any) -> None:
        halt(self, *arguments)
        lease(aws, other)

    monkeypatch.setattr(Aws, "stop", stop_and_arm)
    assert pneumoctl(["gpu", "stop", "--stack", "watch"]) == 0
    assert [lease.instances for lease in scheduled_stop.listed(aws, "watch")] == [(other.id,)]
