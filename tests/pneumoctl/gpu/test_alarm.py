"""Every command on a stack shows a GPU host without a lease in red, and no command waits or fails for it."""

import atexit
import re
import threading
from pathlib import Path

import pytest

from pneumoctl import cli
from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.cli import model
from pneumoctl.cli.main import run as pneumoctl
from pneumoctl.gpu import orphans, scheduled_stop
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Run
from pneumoctl.stack.stack import Cloud as Where
from pneumoctl.stack.stack import Stack
from tests.pneumoctl.cloud import ACCOUNT, REGION, Cloud
from tests.pneumoctl.gpu.leases import RUN, lease

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


@pytest.mark.parametrize(
    "words",
    [("cost",), ("audit",), ("runs", "ls"), ("runs", "show"), ("model", "ls")],
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
