"""pneumoctl is killed while the GPU host boots: terraform completes its work, and the host powers itself off."""

import os
import signal
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab.first_up import FirstUp
from tests.lab.shared import SharedStack
from tests.lab.stack_operator import Operator
from tests.lab.wait import wait_for

pytestmark = pytest.mark.repeat
DEAD_MAN_S = 900.0  # two minutes after the boot script, and more on a busy machine


@dataclass(frozen=True)
class Abandoned:
    """What was observed after an `up` was killed. stops: the clients that asked EC2 to stop an instance since then."""

    code: int
    out: str
    err: str
    stops: tuple[str, ...]
    drift: dict[str, Any]


@pytest.fixture(scope="module")
def abandoned(aws: SharedStack[FirstUp]) -> Abandoned:
    """Recreate the GPU host and kill pneumoctl as soon as the host boots, as a loss of power would."""
    operator = aws.ready()
    lab, old = operator.lab, operator.instance_id("train")
    lab.client().terminate_instances(InstanceIds=[old])
    wait_for("the old GPU host to be gone", lambda: not lab.host_exists("train"))
    up = operator.start("up", "-y")
    wait_for("the new GPU host", lambda: lab.host_exists("train", "up") or up.poll() is not None, pause_grows=False)
    os.kill(up.pid, signal.SIGKILL)
    up.communicate()
    lab.reset_calls()
    status = status_with_aws_answer(operator)
    new = lab.host("train")["id"]
    wait_for("the GPU host to be stopped", lambda: operator.state(new) == "stopped", DEAD_MAN_S)
    stops = tuple(call["source"] for call in lab.mutating_calls() if call["action"] == "StopInstances")
    return Abandoned(up.returncode, status.stdout, status.stderr, stops, operator.json("drift"))


def status_with_aws_answer(operator: Operator) -> "subprocess.CompletedProcess[str]":
    """Repeat `status` until AWS answered in time: it only waits a few seconds, which is too short on a busy machine."""
    results: list[subprocess.CompletedProcess[str]] = []

    def aws_answered() -> bool:
        results.append(operator.run("status", code=None))
        return "the GPU host runs and costs money" in results[-1].stderr

    wait_for("AWS to answer `status`", aws_answered)
    return results[-1]


def test_it_was_killed_in_the_middle(abandoned: Abandoned) -> None:
    assert abandoned.code == -signal.SIGKILL


def test_status_says_that_the_gpu_bills(abandoned: Abandoned) -> None:
    assert "ALARM: the GPU host runs and costs money; next: pneumoctl gpu stop\n" in abandoned.err
    assert "not in the inventory: train" in abandoned.out


def test_the_host_powers_itself_off_though_nobody_asked_aws_to_stop_it(abandoned: Abandoned) -> None:
    assert abandoned.stops == ()


def test_terraform_has_ended_what_it_had_begun(abandoned: Abandoned) -> None:
    assert abandoned.drift == {"stack": "default", "drift": [], "differences": []}


def test_up_again_has_nothing_more_to_make(abandoned: Abandoned, operator: Operator) -> None:
    assert operator.status()["gpu_running"] == []
    assert operator.inventory_host("train")["instance_id"] == operator.instance_id("train")
