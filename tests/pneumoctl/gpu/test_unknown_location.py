"""If this machine's files do not say where a stack on aws is, its GPU may be on: exit code 7, and what still works."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.cli.main import run as pneumoctl
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Run
from pneumoctl.stack.saved import Ports
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.stack import Cloud, Stack, find
from tests.pneumoctl.cloud import ACCOUNT, REGION

RUN = Run("20261123-061500-a1b2", "watch", "gpu", "2026-11-23T06:15:00Z", [], 600, 3600, instance="i-1", bucket="b")
GPU_WORDS = [("gpu", "stop"), ("gpu", "status"), ("gpu", "guard"), ("runs", "cancel"), ("runs", "cancel", RUN.id)]


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stack:
    """A stack on aws with an open run on its GPU."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    stack = find("watch")
    stack.save_cloud(Cloud(REGION, "", ACCOUNT, "bucket"))
    runs.save(stack, RUN)
    return stack


@pytest.mark.parametrize("words", GPU_WORDS, ids=" ".join)
def test_a_damaged_location_is_exit_7(words: tuple[str, ...], stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    stack.terraform.mkdir()
    for path in (stack.directory / "aws.json", stack.terraform / "terraform.tfvars.json"):
        path.write_text("{")
    assert pneumoctl([*words, "--stack", "watch"]) == 7
    message, hint = capsys.readouterr().err.splitlines()
    assert message.startswith("error: the GPU host of stack watch is not confirmed stopped and may be billing: ")
    assert f"{stack.directory / 'aws.json'} is damaged" in message
    assert hint.startswith(
        "  next: pneumoctl gpu stop --stack watch --region REGION, which needs no file of the stack; "
    )
    assert f"to repair the stack: move {stack.directory / 'aws.json'} away" in hint
    assert "aws ec2 describe-instances --region REGION" in hint and "aws ec2 stop-instances --region REGION" in hint


@pytest.mark.parametrize("words", GPU_WORDS, ids=" ".join)
def test_damage_of_a_stack_on_this_machine_is_no_alarm(
    words: tuple[str, ...], stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    local = find("here")
    local.save(Secrets.generate(), Ports({"nginx": 8080}, {"nginx": 8080}))
    (local.directory / "ports.json").write_text("{")
    assert pneumoctl([*words, "--stack", "here"]) == 1
    assert "billing" not in capsys.readouterr().err


def test_a_damaged_record_of_the_run_is_exit_7(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    record = runs.run_directory(stack, RUN.id) / runs.RECORD
    record.write_text("{")
    assert pneumoctl(["runs", "cancel", RUN.id, "--stack", "watch"]) == 7
    error = capsys.readouterr().err
    assert "may be billing: " in error and f"{record} is damaged" in error
    assert f"aws ec2 stop-instances --region {REGION}" in error


def test_an_open_run_of_a_stack_that_is_no_longer_here_is_exit_7(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.save(stack, replace(RUN, region=REGION))
    shutil.rmtree(stack.directory)
    assert pneumoctl(["runs", "cancel", RUN.id, "--stack", "watch"]) == 7
    message, hint = capsys.readouterr().err.splitlines()
    assert message.endswith("is not confirmed stopped and may be billing: the stack is no longer on this machine")
    assert hint.startswith(f"  next: pneumoctl gpu stop --stack watch --region {REGION}; find it: aws ec2 ")


@pytest.mark.parametrize("verb", ["stop", "status"])
def test_another_region_in_the_settings_is_a_usage_error_that_names_the_option(
    verb: str, stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PNEUMO_REGION", "us-east-1")
    assert pneumoctl(["gpu", verb, "--stack", "watch"]) == 2
    error = capsys.readouterr().err
    assert f"stack watch exists already with region {REGION}, not us-east-1" in error
    assert error.endswith(f"; or, to use this one: the same command with --region {REGION}\n")
    assert pneumoctl(["gpu", "guard", "--stack", "watch"]) == 2  # has no such option
    assert f"to use this one: PNEUMO_REGION={REGION} pneumoctl status --stack watch\n" in capsys.readouterr().err
