"""Faults while a client follows a run: the GPU is off afterwards, the exit code is right, a checkpoint is saved."""

import os
import signal
import subprocess

import pytest

from tests.lab.stack_operator import COMMAND_TIMEOUT_S
from tests.lab.training.host import TrainingHost


def ended(training: TrainingHost, child: "subprocess.Popen[str]", code: int) -> tuple[str, dict]:
    """The output of the client and the receipt, after the host is off."""
    out, err = child.communicate(timeout=COMMAND_TIMEOUT_S)
    assert child.returncode == code, f"{child.returncode}\n{out}\n{err}"
    assert training.state() == "stopped"
    return err, training.receipt(training.newest_run())


def test_a_schedule_that_cannot_be_armed_starts_nothing(training: TrainingHost) -> None:
    training.operator.lab.fault.api("denied", service="scheduler", action="CreateSchedule")
    try:
        err, _ = training.start_followed_run().communicate(timeout=COMMAND_TIMEOUT_S)[::-1]
    finally:
        training.operator.lab.fault.clear()

    assert "cannot be armed" in err and "nothing was started" in err
    assert training.state() == "stopped"


@pytest.mark.repeat
def test_a_killed_run_is_reported_and_its_checkpoint_resumed(training: TrainingHost) -> None:
    child = training.start_followed_run(epochs=8)
    training.wait_for_phase("train")
    os.kill(training.process(), signal.SIGKILL)
    ended(training, child, 8)
    run = training.newest_run()
    assert training.read_from_bucket(run, "checkpoints/latest").startswith(b"step-")

    training.operator.run("train", "--gpu", "--resume", run)
    assert training.receipt(run)["exit"] == 0


@pytest.mark.repeat
def test_a_cap_ends_the_run_with_a_checkpoint(training: TrainingHost) -> None:
    child = training.start_followed_run("--max-runtime", "4m", epochs=2000)
    _, receipt = ended(training, child, 9)

    assert receipt["why"] == "deadline" and receipt["guard"] in ("host timer", "unit", "client")
    assert training.read_from_bucket(training.newest_run(), "checkpoints/latest").startswith(b"step-")


@pytest.mark.repeat
def test_a_stop_that_aws_denies_is_exit_7_with_the_command(training: TrainingHost) -> None:
    child = training.start_followed_run(epochs=300)
    training.wait_for_phase("train")
    training.disable_timer()
    training.disable_unit()
    training.operator.lab.fault.api("denied", service="ec2", action="StopInstances")
    on = ["mount", "--bind", "/bin/true", "/usr/bin/systemctl"]  # and the host cannot power itself off
    training.operator.lab.fault.run_on_host("train", on)
    try:
        os.killpg(child.pid, signal.SIGINT)
        _, err = child.communicate(timeout=COMMAND_TIMEOUT_S)
    finally:
        training.operator.lab.fault.clear()

    assert child.returncode == 7, err
    assert f"aws ec2 stop-instances --region eu-west-1 --instance-ids {training.id}" in err
    training.operator.run("gpu", "stop")
    assert training.state() == "stopped"
