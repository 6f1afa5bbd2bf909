"""An AWS profile that cannot be used tells nothing about the GPU: exit code 7, and how to stop it otherwise."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from pneumoctl.cli.main import run as pneumoctl
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Run
from pneumoctl.stack.stack import Cloud, find
from tests.pneumoctl.cloud import ACCOUNT, REGION

pytest.importorskip("botocore")
RUN = "20261123-061500-a1b2"
GPU_WORDS = [("gpu", "stop"), ("gpu", "status"), ("gpu", "guard"), ("gpu", "reap", "-y"), ("runs", "cancel", RUN)]
STACK_WORDS = [("status",), ("cost",), ("train", "--gpu"), ("teardown", "-y"), ("teardown", "--dry-run")]


@dataclass(frozen=True)
class Fault:
    """A broken AWS configuration: the contents of the file, and the variables that are set."""

    config: bytes = b""
    variables: tuple[tuple[str, str], ...] = ()


def profile(line: str) -> Fault:
    return Fault(f"[default]\nregion = {REGION}\n{line}\n".encode())


FAULTS = {
    "no such profile": Fault(variables=(("AWS_PROFILE", "nobody"),)),
    "not a configuration": Fault(b"[default\nregion"),
    "not a text": Fault(b"\xff\xfe\x00"),
    "no such program": profile("credential_process = /no/such/program"),
    "a program that fails": profile("credential_process = /bin/false"),
    "a program that prints no JSON": profile("credential_process = /bin/echo hello"),
    "a program that prints a list": profile("credential_process = /bin/echo []"),
    "no such source profile": profile(f"role_arn = arn:aws:iam::{ACCOUNT}:role/r\nsource_profile = nobody"),
}


@pytest.fixture(autouse=True)
def _user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user without AWS credentials, with a stack on aws and an open run on its GPU."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    stack = find("watch")
    stack.save_cloud(Cloud(REGION, "", ACCOUNT, "bucket"))
    now = "2026-11-23T06:15:00Z"
    runs.save(stack, Run(RUN, "watch", "gpu", now, [], 600, 3600, instance="i-1", bucket="none", deadline=now))


def configure(fault: Fault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(fault.config)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name, value in fault.variables:
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("words", GPU_WORDS + STACK_WORDS, ids=" ".join)
@pytest.mark.parametrize("name", FAULTS)
def test_an_unusable_profile_is_exit_7_for_what_shows_or_stops_a_gpu(
    name: str,
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(FAULTS[name], monkeypatch, tmp_path)
    assert pneumoctl([*words, "--stack", "watch"]) == 7
    error = capsys.readouterr().err
    used = "nobody" if "AWS_PROFILE" in dict(FAULTS[name].variables) else "default"
    assert f"the AWS profile {used} cannot be used" in error and "aws configure list-profiles" in error
    assert f"aws ec2 describe-instances --region {REGION} --profile PROFILE" in error
    assert "aws ec2 stop-instances" in error


@pytest.mark.parametrize("verb", ["stop", "status"])
def test_an_unusable_profile_is_exit_7_also_for_the_stack_of_another_machine(
    verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(FAULTS["no such profile"], monkeypatch, tmp_path)
    assert pneumoctl(["gpu", verb, "--stack", "another"]) == 7
    error = capsys.readouterr().err
    assert "the AWS profile nobody cannot be used" in error and "aws configure list-profiles" in error
    assert "aws ec2 describe-instances --region REGION --profile PROFILE" in error
    assert "pneumoctl gpu" not in error


@pytest.mark.parametrize("words", STACK_WORDS, ids=" ".join)
def test_without_a_gpu_host_an_unusable_profile_is_no_alarm(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(FAULTS["no such profile"], monkeypatch, tmp_path)
    find("plain").save_cloud(Cloud(REGION, "", ACCOUNT, "bucket"))
    assert pneumoctl([*words, "--stack", "plain"]) == 1
    error = capsys.readouterr().err
    assert "the AWS profile nobody cannot be used" in error and "billing" not in error


@pytest.mark.parametrize("words", STACK_WORDS, ids=" ".join)
def test_a_gpu_host_that_terraform_was_to_make_may_be_on(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configure(FAULTS["no such profile"], monkeypatch, tmp_path)
    killed = find("killed")
    killed.save_cloud(Cloud(REGION, "", ACCOUNT, "bucket"))
    killed.terraform.mkdir()
    (killed.terraform / "terraform.tfvars.json").write_text('{"train_count": 1}')
    assert pneumoctl([*words, "--stack", "killed"]) == 7


def test_an_endpoint_that_is_not_a_url_is_exit_7(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    assert pneumoctl(["gpu", "stop", "--stack", "watch"]) == 7
    assert "Invalid endpoint: localhost" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["stop", "status"])
def test_without_a_region_the_hint_names_the_command_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert pneumoctl(["gpu", verb, "--stack", "another"]) == 2
    error = capsys.readouterr().err
    assert "no AWS region is set" in error and f"pneumoctl gpu {verb} --stack another --region REGION" in error


def test_a_region_that_aws_does_not_have_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert pneumoctl(["gpu", "status", "--stack", "another", "--region", "eu-wst-1"]) == 2
    assert "did you mean eu-west-1?" in capsys.readouterr().err
