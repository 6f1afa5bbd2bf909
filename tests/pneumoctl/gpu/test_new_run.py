"""Before a run starts, what an earlier one left on is stopped, and what another one uses is left on."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.aws.leftovers import FIRST_BOOT
from pneumoctl.errors import PneumoError
from pneumoctl.gpu import orphans, scheduled_stop, stop
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Run
from pneumoctl.stack.stack import Stack
from tests.pneumoctl.gpu.leases import RUN, lease, state

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


def test_a_run_waits_for_a_first_boot_whose_stop_does_not_stop_it(
    aws: Aws, stack: Stack, train: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pneumoctl.training import collect
    from pneumoctl.training import order as on_aws

    states = list[str]()

    def console_output(self: Aws, id: str) -> str:
        states.append(state(self, train))
        return "pneumoctl-boot: ok\n" if len(states) == 3 else ""

    monkeypatch.setattr(Aws, "console_output", console_output)
    monkeypatch.setattr(stop, "POLL_S", 0.01)
    scheduled_stop.arm(aws, "watch", FIRST_BOOT + train.id, train, scheduled_stop.now(aws) + timedelta(minutes=15))
    on_aws._ensure_hosts_free(aws, stack)
    assert (states, state(aws, train)) == (["running"] * 3, "stopped")
    on_aws._settle_earlier_runs(aws, stack, collect.training_host(aws, stack))
    assert scheduled_stop.listed(aws, "watch") == []
    assert (
        aws.call("scheduler", "get_schedule", GroupName="pneumoctl-watch", Name=FIRST_BOOT + train.id)["State"]
        == "DISABLED"
    )


def test_the_schedule_of_an_earlier_run_does_not_stop_the_next(aws: Aws, stack: Stack, train: Instance) -> None:
    from pneumoctl.training import collect
    from pneumoctl.training import order as on_aws

    later = runs.format_time(scheduled_stop.now(aws) + timedelta(hours=1))
    run = Run(RUN, "watch", "gpu", later, [], 600, 3600, instance=train.id, bucket="none", deadline=later)
    runs.save(stack, run)
    lease(aws, train)
    with pytest.raises(PneumoError, match=f"is used by run {RUN} of ") as caught:
        on_aws._ensure_hosts_free(aws, stack)
    assert caught.value.code == 5
    aws.stop([train], timeout=20)
    on_aws._ensure_hosts_free(aws, stack)
    on_aws._settle_earlier_runs(aws, stack, collect.training_host(aws, stack))
    assert scheduled_stop.listed(aws, "watch") == [] and runs.list_open(stack) == []


def test_a_new_run_leaves_a_spot_instance_on_whose_stop_is_being_armed(
    aws: Aws, stack: Stack, train: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pneumoctl.training import order as on_aws

    leases, asked = orphans.leases, list[int]()

    def arm_at_the_second_question(*arguments: Any) -> Any:
        asked.append(1)
        if len(asked) == 2:
            lease(aws, train)
        return leases(*arguments)

    monkeypatch.setattr(orphans, "POLL_S", 0.01)
    monkeypatch.setattr(orphans, "leases", arm_at_the_second_question)
    monkeypatch.setattr(Aws, "training_hosts", lambda *_: [replace(train, spot=True)])
    with pytest.raises(PneumoError, match=f"is used by run {RUN} of ") as caught:
        on_aws._ensure_hosts_free(aws, stack)
    assert caught.value.code == 5 and state(aws, train) == "running"


def test_without_a_lease_a_new_run_stops_it_first(aws: Aws, stack: Stack, train: Instance) -> None:
    from pneumoctl.training import order as on_aws

    on_aws._ensure_hosts_free(aws, stack)
    assert state(aws, train) == "stopped"


def test_the_armed_stop_of_a_spot_instance_that_ec2_does_not_list_yet_stays_when_a_run_starts(
    aws: Aws, stack: Stack, spot_of_another_machine: Instance
) -> None:
    from pneumoctl.training import collect
    from pneumoctl.training import order as on_aws

    host = collect.training_host(aws, stack)
    scheduled_stop.arm(aws, "watch", f"{RUN}-own", host, scheduled_stop.now(aws) + timedelta(minutes=5))
    on_aws._settle_earlier_runs(aws, stack, host)
    assert [lease.run for lease in scheduled_stop.listed(aws, "watch")] == [RUN]
