"""`gpu guard` shows the guards, and a drill proves that one of them alone stops the GPU."""

import json
from typing import Any

import pytest

from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.cli.main import run as pneumoctl
from pneumoctl.gpu import guards, scheduled_stop
from pneumoctl.stack.stack import Stack
from tests.pneumoctl.cloud import Cloud
from tests.pneumoctl.gpu.leases import RUN, lease, state

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


def test_the_guards_are_shown(aws: Aws, stack: Stack, train: Instance, capsys: pytest.CaptureFixture[str]) -> None:
    assert pneumoctl(["gpu", "guard", "--stack", "watch", "--json"]) == 7
    rows = json.loads(capsys.readouterr().out)["guards"]
    assert [row["good"] for row in rows] == [False, True, True, True, True, False]
    lease(aws, train)
    assert pneumoctl(["gpu", "guard", "--stack", "watch"]) == 0
    what = {"Value": "terminate"}
    aws.call("ec2", "modify_instance_attribute", InstanceId=train.id, InstanceInitiatedShutdownBehavior=what)
    assert pneumoctl(["gpu", "guard", "--stack", "watch"]) == 1


def test_a_drill_starts_the_gpu_and_the_account_alone_stops_it(
    aws: Aws, cloud: Cloud, stack: Stack, train: Instance, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    assert pneumoctl(["gpu", "guard", "--drill", "schedule", "-y", "--stack", "watch"]) == 7  # on without a lease
    lease(aws, train)
    assert pneumoctl(["gpu", "guard", "--drill", "schedule", "-y", "--stack", "watch"]) == 5  # used by a run
    aws.stop([train], timeout=20)
    scheduled_stop.delete(aws, "watch", RUN)
    monkeypatch.setattr(guards, "DRILLS", {"schedule": (2.0, 30.0)})
    assert pneumoctl(["gpu", "guard", "--drill", "schedule", "-y", "--stack", "watch", "--json"]) == 0
    assert state(aws, train) == "stopped"


def test_a_guard_that_does_not_act_is_exit_7_and_the_gpu_off(
    aws: Aws, stack: Stack, train: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.stop([train], timeout=20)
    monkeypatch.setattr(guards, "DRILLS", {"schedule": (600.0, 2.0)})
    assert pneumoctl(["gpu", "guard", "--drill", "schedule", "-y", "--stack", "watch"]) == 7
    assert state(aws, train) == "stopped" and scheduled_stop.listed(aws, "watch") == []
