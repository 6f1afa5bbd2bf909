"""Guard 5: hosts that run without a lease are found in every region and stopped; others are not."""

import json
from dataclasses import replace
from typing import Any

import pytest

from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.cli.main import run as pneumoctl
from pneumoctl.errors import PneumoError
from pneumoctl.gpu import orphans
from pneumoctl.terminal.console import Console
from tests.pneumoctl.cloud import REGION, Cloud, launch
from tests.pneumoctl.gpu.leases import RUN, lease, state

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


def test_a_host_running_without_a_lease_is_found(aws: Aws, train: Instance) -> None:
    launch(aws, "watch", "web-0", "web")
    (running,) = orphans.running_hosts(aws)
    assert (running.id, running.stack, running.lease) == (train.id, "watch", None)
    lease(aws, train)
    (running,) = orphans.running_hosts(aws)
    assert running.lease and running.lease.run == RUN
    aws.stop([train], timeout=20)
    assert orphans.running_hosts(aws) == []


def test_a_host_with_an_unreadable_lease_is_reported_and_not_stopped(
    aws: Aws, cloud: Cloud, train: Instance, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "regions", lambda _: [REGION])
    lease(aws, train)
    cloud.fault("denied", service="scheduler")
    (running,) = orphans.running_hosts(aws)
    assert running.lease is None and "denies" in running.unknown
    with pytest.raises(PneumoError, match="denies"):
        orphans.leases(aws, [train], "watch")
    assert pneumoctl(["gpu", "reap", "-y", "--json"]) == 7
    seen = capsys.readouterr()
    document = json.loads(seen.out)
    assert f"gpu status --stack watch --region {REGION}" in seen.err
    assert document["stopped"] == [] and any(train.id in where for where in document["unknown"])


def test_guard_5_alone_reap_stops_what_runs_without_a_lease(
    aws: Aws, train: Instance, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stack is not known on this machine, so the host is found by its tags."""
    monkeypatch.setattr(orphans, "regions", lambda _: [REGION])
    assert pneumoctl(["gpu", "reap"]) == 7  # cancelled
    assert state(aws, train) == "running"
    capsys.readouterr()
    assert pneumoctl(["gpu", "reap", "-y", "--json"]) == 0
    assert state(aws, train) == "stopped"
    assert [host["id"] for host in json.loads(capsys.readouterr().out)["stopped"]] == [train.id]


def test_reap_leaves_a_run_alone(aws: Aws, train: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "regions", lambda _: [REGION])
    lease(aws, train)
    assert pneumoctl(["gpu", "reap", "-y"]) == 0
    assert state(aws, train) == "running"


def test_reap_leaves_a_run_alone_that_began_while_it_asked(
    aws: Aws, train: Instance, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "regions", lambda _: [REGION])

    def agree(*_: Any) -> bool:
        lease(aws, train)
        return True

    monkeypatch.setattr(Console, "ask", agree)
    assert pneumoctl(["gpu", "reap", "--json"]) == 0
    assert state(aws, train) == "running"
    document = json.loads(capsys.readouterr().out)
    assert (document["stopped"], [host["id"] for host in document["leased"]]) == ([], [train.id])


def test_all_enabled_regions_are_searched_and_a_failing_one_is_named(
    aws: Aws, cloud: Cloud, train: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = orphans.regions(aws)
    assert REGION in names and len(names) > 5

    def running_hosts(there: Aws) -> list[orphans.RunningGpuHost]:
        if there.region == names[0]:
            raise PneumoError("no answer")
        return []

    monkeypatch.setattr(orphans, "running_hosts", running_hosts)
    seen = {region: hosts for region, _, hosts in orphans.search_regions(aws, names)}
    assert sorted(seen) == names and isinstance(seen[names[0]], PneumoError)
    assert pneumoctl(["gpu", "reap", "-y"]) == 6


def test_a_spot_instance_whose_stop_is_being_armed_is_left_on(
    aws: Aws, train: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "POLL_S", 0.01)
    spot, asked = replace(train, spot=True), list[int]()

    def arm_at_the_third_question(*_: Any) -> dict[str, Any]:
        asked.append(1)
        return {train.id: "lease"} if len(asked) == 3 else {}

    monkeypatch.setattr(orphans, "leases", arm_at_the_third_question)
    assert orphans.awaited_lease(aws, spot, "watch") == "lease"
    asked.clear()
    assert orphans.awaited_lease(aws, train, "watch") is None and len(asked) == 1


def test_a_reap_to_which_aws_names_no_region_is_exit_7(
    aws: Aws, cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.fault("denied", service="ec2", action="DescribeRegions")
    assert pneumoctl(["gpu", "reap", "-y"]) == 7
    error = capsys.readouterr().err
    assert "whether a GPU host is on without a lease is not known: AWS denies" in error and "gpu reap" in error


def test_reap_that_cannot_ask_for_the_lease_again_is_exit_7(
    aws: Aws, train: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "regions", lambda _: [REGION])

    def denied(*_: Any) -> None:
        raise PneumoError("AWS denies it")

    monkeypatch.setattr(orphans, "awaited_lease", denied)
    assert pneumoctl(["gpu", "reap", "-y"]) == 7
