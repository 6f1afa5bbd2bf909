"""Beside a training, `teardown` asks; then the training is ended, and no GPU stays on."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import scheduled_stop
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Run
from pneumoctl.targets.aws import trainings
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.trainings import Trainings
from pneumoctl.terminal.console import Console
from tests.pneumoctl.cloud import Cloud

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]
RUN = "20261123-061500-a1b2"
NONE = Trainings((), None)
# Holds the lock of the GPU host until it is asked to end, as a client that follows a run.
FOLLOWER = """
import signal, socket, sys
from pathlib import Path
from pneumoctl.stack.stack import Stack
socket.gethostname = lambda real=socket.gethostname(): sys.argv[2] or real
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
with Stack("end", Path(sys.argv[1])).gpu_locked("train --gpu"):
    print("held", flush=True)
    signal.pause()
"""


@pytest.fixture
def follow(context: Context) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    started = list["subprocess.Popen[str]"]()

    def start(hostname: str = "") -> "subprocess.Popen[str]":
        words = [sys.executable, "-c", FOLLOWER, str(context.stack.directory), hostname]
        started.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        stdout = started[-1].stdout
        assert stdout is not None and stdout.readline() == "held\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def lease(aws: Aws, host: Instance) -> None:
    scheduled_stop.arm(aws, "end", RUN, host, scheduled_stop.now(aws) + timedelta(hours=1))


def test_without_a_training_nothing_is_asked_and_none_can_start(context: Context) -> None:
    with ExitStack() as held:
        found = trainings.find(context, held)
        trainings.require_agreement(found, agreed=False)
        with pytest.raises(PneumoError, match="is locked by pneumoctl teardown"):
            context.stack.gpu_locked("train --gpu").__enter__()
    assert found == NONE


def test_beside_a_training_it_asks_although_yes_was_given(
    aws: Aws, context: Context, train: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease(aws, train)
    with ExitStack() as held:
        found = trainings.find(context, held)
    with pytest.raises(PneumoError, match=f"nothing was destroyed: the GPU host is used by run {RUN} of ") as caught:
        trainings.require_agreement(found, agreed=False)
    assert caught.value.code == Exit.LOCKED
    assert f"pneumoctl runs cancel {RUN}; or: pneumoctl teardown --end-training" in caught.value.hint
    trainings.require_agreement(found, agreed=True)
    monkeypatch.setattr(Console, "ask", lambda *_: True)
    trainings.require_agreement(found, agreed=False)


def test_a_lease_that_cannot_be_read_may_be_a_training(context: Context, cloud: Cloud) -> None:
    cloud.fault("denied", service="scheduler")
    with ExitStack() as held:
        found = trainings.find(context, held)
    with pytest.raises(PneumoError, match=r"a run that is not known .*denies"):
        trainings.require_agreement(found, agreed=False)
    trainings.require_agreement(found, agreed=True)


def test_a_client_that_follows_a_run_here_ends_it_before_the_teardown_goes_on(
    context: Context, follow: Callable[..., "subprocess.Popen[str]"]
) -> None:
    client = follow()
    with ExitStack() as held:
        found = trainings.find(context, held)
        assert str(found) == f"pneumoctl train --gpu (process {client.pid})"
        with pytest.raises(PneumoError):
            trainings.require_agreement(found, agreed=False)
        assert client.poll() is None
        trainings.end(context, found, held)
        assert client.wait() == 143
        with pytest.raises(PneumoError, match="is locked by"):
            context.stack.gpu_locked("train --gpu").__enter__()


def test_a_client_that_is_suspended_goes_on_and_ends_its_run(
    context: Context, follow: Callable[..., "subprocess.Popen[str]"]
) -> None:
    client = follow()
    client.send_signal(signal.SIGSTOP)
    os.waitpid(client.pid, os.WUNTRACED)
    with ExitStack() as held:
        trainings.end(context, trainings.find(context, held), held)
    assert client.wait() == 143


def test_a_client_that_does_not_end_keeps_no_gpu_on(
    aws: Aws,
    context: Context,
    train: Instance,
    follow: Callable[..., "subprocess.Popen[str]"],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(trainings, "END_S", 0.3)
    monkeypatch.setattr(trainings, "os", SimpleNamespace(kill=lambda *_: None))  # it does not react
    client = follow()
    with ExitStack() as held:
        trainings.end(context, trainings.find(context, held), held)
    assert client.poll() is None and aws.states([train.id])[train.id] == "stopped"
    assert f"(process {client.pid}) did not end within" in capsys.readouterr().err


@pytest.mark.parametrize("raised", [False, True])
def test_a_gpu_that_is_not_confirmed_off_leaves_no_other_one_on(
    aws: Aws, context: Context, train: Instance, monkeypatch: pytest.MonkeyPatch, raised: bool
) -> None:
    failure, asked = PneumoError("not off", code=Exit.GPU_NOT_STOPPED), list[str]()
    for name in ("a", "b"):
        now = runs.format_time(scheduled_stop.now(aws))
        runs.save(context.stack, Run(f"{RUN[:-1]}{name}", "end", "gpu", now, [], 600, 3600, instance=train.id))

    def finalize(_aws: Aws, _stack: Any, _host: Instance, run: Run, _verb: str) -> Any:
        asked.append(run.id)
        if raised:
            raise failure
        return SimpleNamespace(stop_failure=failure)

    monkeypatch.setattr(trainings.collect, "finalize_unattended", finalize)
    with pytest.raises(PneumoError) as caught:
        trainings.end(context, NONE, ExitStack())
    assert caught.value is failure and len(asked) == 2 and aws.states([train.id])[train.id] == "stopped"


def test_a_process_of_another_machine_is_not_signalled(
    context: Context, follow: Callable[..., "subprocess.Popen[str]"]
) -> None:
    client = follow("elsewhere")
    with pytest.raises(PneumoError, match="is locked by pneumoctl train --gpu") as caught, ExitStack() as held:
        trainings.find(context, held)
    assert caught.value.code == Exit.LOCKED and client.poll() is None


def test_a_run_that_nobody_follows_is_ended_and_its_receipt_stays(aws: Aws, context: Context, train: Instance) -> None:
    now = scheduled_stop.now(aws)
    run = Run(RUN, "end", "gpu", runs.format_time(now), [], 600, 3600, instance=train.id, bucket="none")
    later = runs.format_time(now + timedelta(hours=1))
    runs.save(context.stack, replace(run, deadline=later, usd_per_hour=1.0))
    lease(aws, train)
    trainings.end(context, NONE, ExitStack())
    assert aws.states([train.id])[train.id] == "stopped" and scheduled_stop.listed(aws, "end") == []
    receipt = runs.load_receipt(context.stack, RUN)
    assert receipt and (receipt.why, receipt.guard, receipt.exit) == ("cancelled", "client", 8)
    assert receipt.billed_s is not None and receipt.usd is not None
    trainings.end(context, NONE, ExitStack())
