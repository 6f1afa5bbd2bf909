"""A GPU host that a run, a first boot or another command uses is not changed; one without a lease is stopped."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.aws import leftovers
from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.aws.leftovers import FIRST_BOOT
from pneumoctl.cli.main import run as pneumoctl
from pneumoctl.errors import PneumoError
from pneumoctl.gpu import orphans, scheduled_stop, stop
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Run
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.provisioning import provision
from tests.pneumoctl.examples import aws_context
from tests.pneumoctl.gpu.leases import RUN, lease, state

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


def test_up_keeps_a_run_and_teardown_stops_it(aws: Aws, train: Instance, tmp_path: Path) -> None:
    context: Any = aws_context(aws)
    context = replace(context, settings=replace(context.settings, stack="watch", gpu_host=True))
    lease(aws, train)
    provision.stop_training_hosts(context)
    assert state(aws, train) == "running"
    with provision.gpu_host_reserved(context, ()):
        pass
    with (
        pytest.raises(PneumoError, match=f"would be changed, and is used by run {RUN} of .+@.+, until 2") as caught,
        provision.gpu_host_reserved(context, {provision.GPU_ADDRESS}),
    ):
        pass
    assert caught.value.code == 5 and f"pneumoctl runs cancel {RUN}" in caught.value.hint
    provision.stop_training_hosts(context, spare_leased=False)
    assert state(aws, train) == "stopped"


def test_the_stop_of_a_first_boot_is_no_run(aws: Aws, train: Instance, stack: Stack, tmp_path: Path) -> None:
    scheduled_stop.arm(aws, "watch", FIRST_BOOT + train.id, train, scheduled_stop.now(aws) + timedelta(minutes=15))
    (running,) = orphans.running_hosts(aws)
    assert running.lease and running.lease.title == "first boot"  # a stop is armed: no alarm
    assert orphans.leases(aws, [train], "watch") == {}
    context: Any = replace(aws_context(aws), stack=stack)
    context = replace(context, settings=replace(context.settings, stack="watch", gpu_host=True))
    changes = {leftovers.FIRST_BOOT_ADDRESS}
    with provision.gpu_host_reserved(context, changes):
        lease(aws, train)
    with (
        pytest.raises(PneumoError, match="would be changed, and is used by run"),  # a new schedule would stop the run
        provision.gpu_host_reserved(context, changes),
    ):
        pass
    scheduled_stop.delete(aws, "watch", RUN)
    provision.stop_training_hosts(context)
    assert state(aws, train) == "stopped"


def test_up_keeps_trainings_from_a_gpu_host_that_it_changes_and_only_from_that(
    aws: Aws, stack: Stack, train: Instance
) -> None:
    context: Any = replace(aws_context(aws), stack=stack)
    context = replace(context, settings=replace(context.settings, stack="watch", gpu_host=True))
    with provision.gpu_host_reserved(context, {'aws_instance.host["web-0"]'}), stack.gpu_locked("train --gpu"):
        pass
    with (
        pytest.raises(PneumoError, match=r"the GPU host of watch is locked by pneumoctl up \(process") as caught,
        provision.gpu_host_reserved(context, {provision.GPU_ADDRESS}),
        stack.gpu_locked("train --gpu"),
    ):
        pass
    assert caught.value.code == 5


def test_no_other_ssh_key_is_given_to_a_gpu_host_that_a_training_uses(
    aws: Aws, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    with stack.gpu_locked("train --gpu"):
        assert pneumoctl(["secrets", "ssh-key", "-y", "--stack", "watch"]) == 5
    assert "the GPU host of watch is locked by" in capsys.readouterr().err


def test_without_a_lease_up_stops_it(aws: Aws, train: Instance) -> None:
    stop.stop_training_hosts(aws, "watch", True)
    assert state(aws, train) == "stopped"


def test_a_first_boot_is_not_named_as_a_run(
    aws: Aws, stack: Stack, train: Instance, capsys: pytest.CaptureFixture[str]
) -> None:
    now = runs.format_time(scheduled_stop.now(aws))
    runs.save(stack, Run(RUN, "watch", "gpu", now, [], 600, 3600, instance=train.id, bucket="none", deadline=now))
    scheduled_stop.arm(aws, "watch", FIRST_BOOT + train.id, train, scheduled_stop.now(aws) + timedelta(minutes=15))
    assert pneumoctl(["runs", "cancel", RUN, "--stack", "watch"]) == 2
    error = capsys.readouterr().err
    assert f"the GPU host {train.id} is used by first boot of " in error
    assert stop.in_use(aws, "watch", train, "running").hint == "wait for it"
    assert pneumoctl(["gpu", "stop", "--stack", "watch"]) == 0
    error += capsys.readouterr().err
    assert f"--instance-ids {train.id}; pneumoctl up" in error and FIRST_BOOT not in error
