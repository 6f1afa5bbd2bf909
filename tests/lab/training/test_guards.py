"""The GPU's guards: each of them stops the host while all others are disabled."""

import os
import signal

import pytest

from tests.lab.stack_operator import COMMAND_TIMEOUT_S
from tests.lab.training.host import TrainingHost
from tests.lab.wait import wait_for

HOURS = 5 * 3600.0  # beyond the deadline of a run, which is four hours


def test_1_the_accounts_schedule_stops_a_host_without_a_client(training: TrainingHost) -> None:
    training.start_run()
    training.disable_timer()
    training.disable_unit()
    training.advance_clock(HOURS)
    try:
        training.wait_until_off()
    finally:
        training.advance_clock(-HOURS)
    assert training.state() == "stopped"


@pytest.mark.repeat
def test_2_the_hosts_own_timer_ends_a_run_that_hangs(training: TrainingHost) -> None:
    run = training.start_run("--stall", "3")
    training.wait_for_phase("train", run)
    training.disable_schedule()
    training.disable_unit()
    os.kill(training.process(), signal.SIGSTOP)
    training.wait_until_off()

    assert b"pneumoctl-guard: powering off: stalled" in training.console()


@pytest.mark.repeat
def test_3_the_unit_turns_the_host_off_when_the_run_is_done_and_the_next_one_collects_it(
    training: TrainingHost,
) -> None:
    child = training.start_followed_run(epochs=6)
    training.wait_for_phase("train")
    training.disable_schedule()
    training.disable_timer()
    os.kill(child.pid, signal.SIGKILL)  # so that the client does not act as a guard
    child.communicate()
    training.wait_until_off()
    collected = training.operator.json("train", "--gpu", "--resume")

    assert b"pneumoctl-train: ended (success, 0): powering off" in training.console()
    assert collected["receipt"]["why"] == "done" and collected["receipt"]["guard"] == "unit"
    assert collected["bundle"]["version"]


@pytest.mark.repeat
def test_4_the_client_stops_the_host_when_the_run_is_done(training: TrainingHost) -> None:
    child = training.start_followed_run("--stall", "5", epochs=6)
    training.wait_for_phase("train")
    training.disable_schedule()
    training.disable_timer()
    training.disable_unit()
    _, err = child.communicate(timeout=COMMAND_TIMEOUT_S)

    assert child.returncode in (0, 8), err  # 8: the unit, which uploads the end of the run, is disabled
    assert training.state() == "stopped"
    assert training.receipt(training.newest_run())["guard"] == "client"


@pytest.mark.repeat
def test_5_a_host_without_a_lease_is_shown_in_red_and_reaped(training: TrainingHost) -> None:
    run = training.start_run()
    training.wait_for_phase("train", run)
    training.disable_schedule()
    training.disable_timer()
    training.disable_unit()
    assert "gpu stop" in training.operator.run("status", code=None).stderr
    reaped = training.operator.json("gpu", "reap", "-y", code=None)

    assert [host["id"] for host in reaped["stopped"]] == [training.id]
    wait_for("the GPU host to be stopped", lambda: training.state() == "stopped")
