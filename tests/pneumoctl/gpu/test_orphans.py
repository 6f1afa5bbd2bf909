"""Guard 5: hosts that run without a lease are found in every region, shown in red and stopped; others are not."""

import atexit
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pneumoctl import cli
from pneumoctl.aws import ec2 as aws_module
from pneumoctl.aws import leftovers
from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.aws.leftovers import FIRST_BOOT
from pneumoctl.cli import model
from pneumoctl.cli.main import run as pneumoctl
from pneumoctl.errors import PneumoError
from pneumoctl.gpu import guards, orphans, scheduled_stop, stop
from pneumoctl.stack import runs
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.runs import Run
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.stack import Cloud as Where
from pneumoctl.stack.stack import Stack, find
from pneumoctl.targets.aws.provisioning import provision
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
    assert pneumoctl(["gpu", "reap", "-y", "--json"]) == 7
    seen = capsys.readouterr()
    document = json.loads(seen.out)
    assert f"gpu status --stack watch --region {REGION}" in seen.err
    assert document["stopped"] == [] and any(train.id in where for where in document["unknown"])


@pytest.mark.parametrize(
    "words",
    [("cost",), ("audit",), ("secrets", "show"), ("runs", "ls"), ("runs", "show"), ("model", "ls")],
    ids=" ".join,
)
def test_every_command_on_a_stack_says_it_in_red(
    aws: Aws,
    stack: Stack,
    train: Instance,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    monkeypatch.setattr(model, "serving", lambda _: None)
    runs.save(stack, Run(RUN, "watch", "here", runs.format_time(scheduled_stop.now(aws)), [], 600, 3600))
    words = (*words, "--stack", "watch")
    assert pneumoctl(words) == 0
    _settle()
    error = capsys.readouterr().err
    assert f"ALARM: GPU host {train.id} (g5.xlarge) of stack watch runs without a lease" in error
    assert f"next: pneumoctl gpu stop --stack watch --region {REGION}\n" in error
    lease(aws, train)
    assert pneumoctl(words) == 0
    _settle()
    assert "ALARM" not in capsys.readouterr().err


def test_only_commands_that_search_themselves_leave_the_search_out() -> None:
    """Each of these calls orphans.start_alarm once it has logged in, or shows the GPU host itself."""
    silent = set[tuple[str, str]]()
    for path in Path(cli.__file__).parent.glob("*.py"):
        found = re.findall(r"^@on_stack\(.*alarm=False\)\ndef (\w+)", path.read_text(), re.MULTILINE)
        silent |= {(path.stem, name) for name in found}
    in_aws = {(verb, verb) for verb in ("cost", "drift", "plan", "teardown", "train", "up")}
    in_aws |= {("data", "push"), ("data", "ls"), ("model", "pull")}
    shown = {("gpu", "status"), ("gpu", "stop"), ("gpu", "guard"), ("gpu", "reap"), ("status", "status")}
    assert silent == in_aws | shown


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


def test_a_lease_that_cannot_be_read_is_not_said_to_be_missing(
    aws: Aws, cloud: Cloud, stack: Stack, train: Instance, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.fault("denied", service="scheduler")
    assert pneumoctl(["audit", "--stack", "watch"]) == 0
    _settle()
    error = capsys.readouterr().err
    assert f"ALARM: GPU host {train.id} (g5.xlarge) of stack watch is on since " in error
    assert "whether its stop is armed is not known: AWS denies" in error and "without a lease" not in error
    assert f"pneumoctl gpu status --stack watch --region {REGION}" in error


def test_an_unknown_profile_breaks_no_command_that_needs_no_aws(
    aws: Aws, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.save_cloud(Where(REGION, "nobody", ACCOUNT, "bucket"))
    assert pneumoctl(["audit", "--stack", "watch"]) == 0
    _settle()
    assert capsys.readouterr().err == ""


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


def test_credentials_alone_stop_a_leased_gpu_of_a_stack_that_another_machine_made(
    aws: Aws, train: Instance, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION")
    lease(aws, train)
    words = ["--stack", "watch", "--region", REGION]
    assert pneumoctl(["gpu", "status", *words]) == 0
    assert f"run {RUN} of " in capsys.readouterr().out
    assert pneumoctl(["gpu", "stop", *words, "--json"]) == 0
    assert state(aws, train) == "stopped" and scheduled_stop.listed(aws, "watch") == []
    document = json.loads(capsys.readouterr().out)
    assert (document["changed"], document["hosts"][0]["state"]) == ([train.id], "stopped")
    assert pneumoctl(["gpu", "stop", *words]) == 0


def test_a_stack_that_is_nowhere_is_an_error_that_names_what_is_on(
    aws: Aws, train: Instance, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pneumoctl(["gpu", "stop", "--stack", "wacht", "--region", REGION]) == 2
    error = capsys.readouterr().err
    assert "no stack 'wacht' on this machine" in error and f"{train.id} of stack watch" in error
    assert state(aws, train) == "running"


@pytest.mark.parametrize(
    "words",
    [
        ("gpu", "stop"),
        ("gpu", "status"),
        ("gpu", "guard"),
        ("gpu", "guard", "--drill", "idle", "-y"),
        ("runs", "cancel", RUN),
        ("cost",),
        ("train", "--gpu"),
        ("train", "--gpu", "--resume"),
    ],
    ids=" ".join,
)
def test_a_gpu_about_which_aws_does_not_answer_is_exit_7(
    aws: Aws, cloud: Cloud, stack: Stack, train: Instance, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    now = runs.format_time(scheduled_stop.now(aws))
    runs.save(stack, Run(RUN, "watch", "gpu", now, [], 600, 3600, instance=train.id, bucket="none", deadline=now))
    cloud.fault("denied", service="ec2", action="DescribeInstances")
    assert pneumoctl([*words, "--stack", "watch"]) == 7
    error = capsys.readouterr().err
    assert "not confirmed stopped" in error and f"aws ec2 stop-instances --region {REGION}" in error


def test_a_reap_to_which_aws_names_no_region_is_exit_7(
    aws: Aws, cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.fault("denied", service="ec2", action="DescribeRegions")
    assert pneumoctl(["gpu", "reap", "-y"]) == 7
    error = capsys.readouterr().err
    assert "whether a GPU host is on without a lease is not known: AWS denies" in error and "gpu reap" in error


@pytest.mark.parametrize("words", [("gpu", "guard"), ("gpu", "status")], ids=" ".join)
def test_a_gpu_of_which_a_failed_login_tells_nothing_is_exit_7(
    aws: Aws, cloud: Cloud, stack: Stack, train: Instance, words: tuple[str, ...]
) -> None:
    lease(aws, train)
    cloud.fault("denied", service="sts")
    assert pneumoctl([*words, "--stack", "watch"]) == 7


def test_a_gpu_is_stopped_although_its_lease_cannot_be_read(
    aws: Aws, cloud: Cloud, stack: Stack, train: Instance, capsys: pytest.CaptureFixture[str]
) -> None:
    lease(aws, train)
    cloud.fault("denied", service="scheduler")
    assert pneumoctl(["gpu", "stop", "--stack", "watch"]) == 0
    assert state(aws, train) == "stopped"
    assert "the next train deletes it" in capsys.readouterr().err


def test_the_schedule_of_a_run_that_starts_meanwhile_is_kept(
    aws: Aws, stack: Stack, train: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Aws.training_hosts

    def start_a_run(self: Aws, name: str) -> list[Instance]:
        lease(aws, train)
        return listed(self, name)

    monkeypatch.setattr(Aws, "training_hosts", start_a_run)
    assert pneumoctl(["gpu", "stop", "--stack", "watch"]) == 0
    assert [armed.run for armed in scheduled_stop.listed(aws, "watch")] == [RUN]


@pytest.fixture
def spot_of_another_machine(aws: Aws, train: Instance, monkeypatch: pytest.MonkeyPatch) -> Instance:
    """A spot instance that another machine launched and whose stop is armed. EC2 does not list it at first."""
    aws.stop([train], timeout=20)
    made = replace(launch(aws, "watch", "train-spot", "train", "g5.xlarge"), spot=True)
    lease(aws, made)
    tagged, states, asked = Aws.tagged, Aws.states, list[int]()

    def without(self: Aws, stack: str, tags: Any) -> list[Instance]:
        return [host for host in tagged(self, stack, tags) if host.id != made.id or len(asked) > 2]

    def late(self: Aws, ids: Any) -> dict[str, str]:
        asked.append(1)
        return {id: state for id, state in states(self, ids).items() if id != made.id or len(asked) > 2}

    monkeypatch.setattr(Aws, "tagged", without)
    monkeypatch.setattr(Aws, "states", late)
    return made


def test_a_spot_instance_that_ec2_does_not_list_yet_is_terminated(
    aws: Aws, stack: Stack, spot_of_another_machine: Instance, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pneumoctl(["gpu", "stop", "--stack", "watch", "--json"]) == 0
    assert state(aws, spot_of_another_machine) == "terminated" and scheduled_stop.listed(aws, "watch") == []


def test_the_armed_stop_of_a_spot_instance_that_ec2_does_not_list_yet_stays_when_a_run_starts(
    aws: Aws, stack: Stack, spot_of_another_machine: Instance
) -> None:
    from pneumoctl.training import collect
    from pneumoctl.training import order as on_aws

    host = collect.training_host(aws, stack)
    scheduled_stop.arm(aws, "watch", f"{RUN}-own", host, scheduled_stop.now(aws) + timedelta(minutes=5))
    on_aws._settle_earlier_runs(aws, stack, host)
    assert [lease.run for lease in scheduled_stop.listed(aws, "watch")] == [RUN]


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


def test_the_stop_of_a_first_boot_that_is_over_is_disabled(aws: Aws, stack: Stack, train: Instance) -> None:
    aws.stop([train], timeout=20)
    scheduled_stop.arm(aws, "watch", FIRST_BOOT + train.id, train, scheduled_stop.now(aws) + timedelta(minutes=15))
    assert pneumoctl(["gpu", "stop", "--stack", "watch"]) == 0
    assert scheduled_stop.listed(aws, "watch") == []


def test_the_armed_stop_of_a_host_that_is_about_to_start_stays(aws: Aws, stack: Stack, train: Instance) -> None:
    aws.stop([train], timeout=20)
    lease(aws, train)
    assert pneumoctl(["gpu", "stop", "--stack", "watch"]) == 0
    assert [lease.run for lease in scheduled_stop.listed(aws, "watch")] == [RUN]


def test_the_armed_stop_of_the_next_attempt_stays(
    aws: Aws, stack: Stack, train: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = launch(aws, "watch", "train-spot", "train", "g5.xlarge")
    aws.stop([other], timeout=20)
    lease(aws, train)
    halt = Aws.stop

    def stop_and_arm(self: Aws, *arguments: Any) -> None:
        halt(self, *arguments)
        lease(aws, other)

    monkeypatch.setattr(Aws, "stop", stop_and_arm)
    assert pneumoctl(["gpu", "stop", "--stack", "watch"]) == 0
    assert [lease.instances for lease in scheduled_stop.listed(aws, "watch")] == [(other.id,)]


def test_reap_that_cannot_ask_for_the_lease_again_is_exit_7(
    aws: Aws, train: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "regions", lambda _: [REGION])

    def denied(*_: Any) -> None:
        raise PneumoError("AWS denies it")

    monkeypatch.setattr(orphans, "awaited_lease", denied)
    assert pneumoctl(["gpu", "reap", "-y"]) == 7


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
