"""The GPU's guards: each of them stops the host while all others are disabled."""

import os
import signal

import pytest

from tests.lab.stack_operator import LONGEST_S
from tests.lab.training.host import Training
from tests.lab.wait import wait_for

HOURS = 5 * 3600.0  # beyond the deadline of a run, which is four hours


def test_1_the_accounts_schedule_stops_a_host_without_a_client(training: Training) -> None:
    run = training.begin()
    training.reached("train", run)
    training.without_timer()
    training.without_unit()
    training.forward(HOURS)
    try:
        training.off()
    finally:
        training.forward(-HOURS)
    assert training.state() == "stopped"


@pytest.mark.repeat
def test_2_the_hosts_own_timer_ends_a_run_that_hangs(training: Training) -> None:
    run = training.begin("--stall", "3")
    training.reached("train", run)
    training.without_schedule()
    training.without_unit()
    os.kill(training.process(), signal.SIGSTOP)
    training.off()

    assert b"pneumoctl-guard: powering off: stalled" in training.console()


@pytest.mark.repeat
def test_3_the_unit_turns_the_host_off_when_the_run_is_done_and_the_next_one_collects_it(training: Training) -> None:
    child = training.follow(epochs=6)
    training.reached("train")
    training.without_schedule()
    training.without_timer()
    os.kill(child.pid, signal.SIGKILL)  # so that the client does not act as a guard
    child.communicate()
    training.off()
    collected = training.operator.json("train", "--gpu", "--resume")

    assert b"pneumoctl-train: ended (success, 0): powering off" in training.console()
    assert collected["receipt"]["why"] == "done" and collected["receipt"]["guard"] == "unit"
    assert collected["bundle"]["version"]


@pytest.mark.repeat
def test_4_the_client_stops_the_host_when_the_run_is_done(training: Training) -> None:
    child = training.follow("--stall", "5", epochs=6)
    training.reached("train")
    training.without_schedule()
    training.without_timer()
    training.without_unit()
    _, err = child.communicate(timeout=LONGEST_S)

    assert child.returncode in (0, 8), err  # 8: the unit, which uploads the end of the run, is disabled
    assert training.state() == "stopped"
    assert training.receipt(training.newest())["guard"] == "client"


@pytest.mark.repeat
def test_5_a_host_without_a_lease_is_shown_in_red_and_reaped(training: Training) -> None:
    run = training.begin()
    training.reached("train", run)
    training.without_schedule()
    training.without_timer()
    training.without_unit()
    assert "gpu reap" in training.operator.run("status", code=None).stderr
    reaped = training.operator.json("gpu", "reap", "-y", code=None)

    assert [host["id"] for host in reaped["stopped"]] == [training.id]
    wait_for("the GPU host to be stopped", lambda: training.state() == "stopped")
