"""Guard 5: hosts that run without a lease are found in every region, shown in red and stopped; others are not."""

import atexit
import json
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.aws import ec2 as aws_module
from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.cli.main import run as pneumoctl
from pneumoctl.errors import PneumoError
from pneumoctl.gpu import guards, orphans, scheduled_stop, stop
from pneumoctl.stack import runs
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.runs import Run
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.stack import Cloud as Where
from pneumoctl.stack.stack import Stack, find
from pneumoctl.targets.aws import provision
from pneumoctl.terminal.console import Console
from tests.pneumoctl.cloud import ACCOUNT, REGION, Cloud, guarded, launch
from tests.pneumoctl.examples import aws_context

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]
RUN = "20261123-061500-a1b2"


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(aws_module, "POLL_S", 0.05)
    monkeypatch.setattr(guards, "POLL_S", 0.05)
    monkeypatch.setattr(scheduled_stop, "PAUSE_S", 0.01)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def aws(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setenv("AWS_REGION", REGION)
    account = cloud.aws()
    guarded(account, "watch")
    yield account
    cloud.ask("DELETE", "faults")
    for lease in scheduled_stop.listed(account, "watch"):
        scheduled_stop.delete(account, "watch", lease.run)


@pytest.fixture
def train(aws: Aws) -> Instance:
    return launch(aws, "watch", "train", "train", "g5.xlarge")


@pytest.fixture
def stack(train: Instance) -> Stack:
    stack = find("watch")
    stack.save_cloud(Where(REGION, "", ACCOUNT, "bucket"))
    host = Host("train", "train", "10.20.32.10", instance_id=train.id, user="ubuntu", type="g5.xlarge")
    front = Host("nginx", "nginx", "10.20.0.10", public_address="127.0.0.1", user="admin")
    stack.save_hosts(Inventory((front, host)))
    stack.write("secrets.json", asdict(Secrets.generate()))
    return stack


def lease(aws: Aws, host: Instance, minutes: int = 60) -> None:
    scheduled_stop.arm(aws, "watch", RUN, host, scheduled_stop.now(aws) + timedelta(minutes=minutes))


def state(aws: Aws, host: Instance) -> str:
    return aws.states([host.id])[host.id]


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
    assert pneumoctl(["gpu", "reap", "-y", "--json"]) == 6
    document = json.loads(capsys.readouterr().out)
    assert document["stopped"] == [] and any(train.id in where for where in document["unknown"])


@pytest.mark.parametrize("words", [("cost",), ("audit",), ("secrets", "show")], ids=lambda words: words[0])
def test_every_command_on_a_stack_says_it_in_red(
    aws: Aws, stack: Stack, train: Instance, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    words = (*words, "--stack", "watch")
    assert pneumoctl(words) == 0
    _settle()
    assert f"ALARM: GPU host {train.id} (g5.xlarge) of stack watch runs without a lease" in capsys.readouterr().err
    lease(aws, train)
    assert pneumoctl(words) == 0
    _settle()
    assert "ALARM" not in capsys.readouterr().err


def test_a_command_that_needs_no_aws_does_not_wait_for_it(
    aws: Aws, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(orphans, "_alarm", lambda _: answered.wait())
    waits: list[float] = []
    monkeypatch.setattr(atexit, "register", lambda wait, timeout: waits.append(timeout))
    try:
        assert pneumoctl(["audit", "--stack", "watch"]) == 0
    finally:
        answered.set()
    assert waits == [orphans.TIMEOUT_S]


def test_a_failed_check_for_orphans_breaks_no_command(
    aws: Aws, cloud: Cloud, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.fault("denied", service="scheduler")
    cloud.fault("error", service="ec2", action="DescribeInstances", code="Odd", status=500, times=1)
    assert pneumoctl(["cost", "--stack", "watch"]) == 0
    _settle()


def _settle() -> None:
    import threading

    for thread in threading.enumerate():
        if thread.name == "gpu alarm":
            thread.join(200)


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


def test_up_keeps_a_run_and_teardown_stops_it(aws: Aws, train: Instance, tmp_path: Path) -> None:
    context: Any = aws_context(aws)
    context = replace(context, settings=replace(context.settings, stack="watch", gpu_host=True))
    lease(aws, train)
    provision.stop_training_hosts(context)
    assert state(aws, train) == "running"
    provision.refuse_while_training(context, lambda: ())
    with pytest.raises(PneumoError, match="its host would be changed") as caught:
        provision.refuse_while_training(context, lambda: {'aws_instance.host["train"]'})
    assert caught.value.code == 5
    provision.stop_training_hosts(context, spare_leased=False)
    assert state(aws, train) == "stopped"


def test_teardown_ends_a_run_first_and_its_receipt_stays(aws: Aws, stack: Stack, train: Instance) -> None:
    from pneumoctl.targets.aws import teardown

    run = Run(
        RUN, "watch", "gpu", runs.format_time(scheduled_stop.now(aws)), [], 600, 3600, instance=train.id, bucket="none"
    )
    later = scheduled_stop.now(aws) + timedelta(hours=1)
    runs.save(stack, replace(run, deadline=runs.format_time(later), usd_per_hour=1.0))
    lease(aws, train)
    context: Any = aws_context(aws)
    context = replace(context, settings=replace(context.settings, stack="watch"), stack=stack)
    teardown._end_runs(context)
    assert state(aws, train) == "stopped" and scheduled_stop.listed(aws, "watch") == []
    receipt = runs.load_receipt(stack, RUN)
    assert receipt and (receipt.why, receipt.guard, receipt.exit) == ("cancelled", "client", 8)
    assert receipt.billed_s is not None and receipt.usd is not None
    teardown._end_runs(context)


def test_the_schedule_of_an_earlier_run_does_not_stop_the_next(aws: Aws, stack: Stack, train: Instance) -> None:
    from pneumoctl.training import collect
    from pneumoctl.training import order as on_aws

    later = runs.format_time(scheduled_stop.now(aws) + timedelta(hours=1))
    run = Run(RUN, "watch", "gpu", later, [], 600, 3600, instance=train.id, bucket="none", deadline=later)
    runs.save(stack, run)
    lease(aws, train)
    with pytest.raises(PneumoError, match=f"run {RUN} goes on there") as caught:
        on_aws._ensure_hosts_free(aws, stack)
    assert caught.value.code == 5
    aws.stop([train], timeout=20)
    on_aws._ensure_hosts_free(aws, stack)
    on_aws._settle_earlier_runs(aws, stack, collect.training_host(aws, stack))
    assert scheduled_stop.listed(aws, "watch") == [] and runs.list_open(stack) == []


def test_without_a_lease_a_new_run_stops_it_first(aws: Aws, stack: Stack, train: Instance) -> None:
    from pneumoctl.training import order as on_aws

    on_aws._ensure_hosts_free(aws, stack)
    assert state(aws, train) == "stopped"


def test_without_a_lease_up_stops_it(aws: Aws, train: Instance) -> None:
    stop.stop_training_hosts(aws, "watch", True)
    assert state(aws, train) == "stopped"


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


def test_the_guards_are_shown(aws: Aws, stack: Stack, train: Instance, capsys: pytest.CaptureFixture[str]) -> None:
    assert pneumoctl(["gpu", "guard", "--stack", "watch", "--json"]) == 1
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
    assert pneumoctl(["gpu", "guard", "--drill", "schedule", "-y", "--stack", "watch"]) == 5  # it runs
    aws.stop([train], timeout=20)
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
