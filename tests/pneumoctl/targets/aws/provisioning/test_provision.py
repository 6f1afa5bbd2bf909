"""Terraform's variables and environment, and the hosts that are awaited and started."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.aws.api import Account
from pneumoctl.aws.ec2 import Instance
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import bundled
from pneumoctl.gpu import stop as gpu
from pneumoctl.results import final_export
from pneumoctl.ssh import keys
from pneumoctl.stack import inventory
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Cloud, Stack
from pneumoctl.targets.aws import context
from pneumoctl.targets.aws.provisioning import provision
from tests.pneumoctl.examples import HOSTS_OUTPUT, aws_context
from tests.pneumoctl.targets.aws.provisioning.simulated_ec2 import WEB, Ec2


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "POLL_S", 0.01)


def test_credentials_of_another_account_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        def __init__(self, profile: str, region: str) -> None:
            self.region = region

        def identity(self) -> Account:
            return Account("999999999999", "arn:aws:iam::999999999999:user/other")

    stack = Stack("t", tmp_path)
    stack.save_cloud(Cloud("eu-west-1", "", "123456789012", "b"))
    monkeypatch.setattr(context, "Aws", Other)
    with pytest.raises(PneumoError, match="is in account 123456789012") as caught:
        context.login(Settings(stack="t", region="eu-west-1"), stack)
    assert caught.value.code == Exit.USAGE


class Applied:
    """A terraform that has made six hosts, one of them for training, and has ended."""

    current = None

    def outputs(self) -> dict[str, object]:
        hosts = {
            name: {**host, "instance_id": "i-1"} if name == "train" else host for name, host in HOSTS_OUTPUT.items()
        }
        return {"hosts": hosts, "bastion": "198.51.100.1"}


@pytest.mark.parametrize("known", [False, True])
def test_the_gpu_host_is_stopped_before_the_other_hosts_are_awaited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    ec2, stack, failed = Ec2(boots=4), Stack("t", tmp_path), PneumoError("web-0 did not boot")

    def wait(*_: object) -> None:
        assert ec2.stopped == ["i-1"]
        raise failed

    monkeypatch.setattr(provision.boot.first_boot, "wait", wait)
    monkeypatch.setattr(provision.orphans, "leases", lambda *_: {})
    if known:  # a host that has booted before has nothing to wait for
        keys.pin(stack.ssh, inventory.Host("train", "train", "10.20.32.10", instance_id="i-1"), "ssh-ed25519 AAAA")
    aws_ctx: Any = replace(aws_context(ec2, gpu_host=True), stack=stack, terraform=Applied())  # type: ignore[arg-type]
    with pytest.raises(PneumoError) as caught:
        provision.wait_until_ready(aws_ctx)
    assert caught.value is failed and (ec2.looks <= 2) is known


def test_a_gpu_host_keeps_its_type_while_the_settings_name_it(tmp_path: Path) -> None:
    def gpu_type(**settings: str) -> str:
        aws_ctx = replace(aws_context(Ec2(), **settings), stack=Stack("t", tmp_path))
        return str(context.variables(aws_ctx, "203.0.113.7/32", "ssh-ed25519 AAAA")["gpu_type"])

    assert gpu_type(gpu_types="g4dn.xlarge, g6.xlarge") == "g5.xlarge"
    hosts = {name: {**host, "type": "g4dn.xlarge"} for name, host in HOSTS_OUTPUT.items()}
    Stack("t", tmp_path).save_hosts(inventory.from_outputs(hosts, "198.51.100.1"))
    assert gpu_type(gpu_types="g4dn.xlarge, g6.xlarge") == "g4dn.xlarge"
    assert gpu_type(gpu_types="g6.xlarge") == gpu_type() == "g5.xlarge"


def test_the_state_is_moved_only_on_request(tmp_path: Path) -> None:
    aws_ctx = replace(aws_context(Ec2(), state_bucket="mine"), stack=Stack("t", tmp_path))
    assert provision._state_bucket(aws_ctx, move=False) == "mine"  # a new stack
    aws_ctx.stack.terraform.mkdir()
    (aws_ctx.stack.terraform / "terraform.tfstate").touch()
    assert provision._state_bucket(aws_ctx, move=False) == ""
    assert provision._state_bucket(aws_ctx, move=True) == "mine"
    there = replace(aws_ctx, settings=replace(aws_ctx.settings, state_bucket="here"))
    assert provision._state_bucket(there, move=True) == ""


def test_terraform_knows_every_variable_that_it_is_given() -> None:
    variables = context.variables(aws_context(Ec2(), gpu_host=True), "203.0.113.7/32", "ssh-ed25519 AAAA")
    declared = set(re.findall(r'^variable "(\w+)"', (bundled("terraform") / "variables.tf").read_text(), re.MULTILINE))
    assert set(variables) <= declared
    assert variables["train_count"] == 1 and variables["bucket"] == "pneumoctl-t-123456789012-eu-west-1"


def test_terraform_is_of_the_same_account_as_we(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "another account's")
    assert context._environment("", "eu-west-1")["AWS_ACCESS_KEY_ID"] == "another account's"
    environment = context._environment("work", "eu-west-1")
    assert environment["AWS_PROFILE"] == "work" and environment["AWS_REGION"] == "eu-west-1"
    assert "another account's" not in environment.values()


def test_stopped_hosts_that_are_started_take_uploads_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stack, events = Stack("t", tmp_path / "t"), list[Any]()
    stack.save_hosts(inventory.from_outputs(HOSTS_OUTPUT, "198.51.100.1"))
    final_export.save(stack, None)

    class Stopped(Ec2):
        def instances(self, _: str) -> list[Instance]:
            return [replace(WEB, state="stopped"), replace(WEB, id="i-3", name="app-0", role="app")]

        def call(self, *_: str, **arguments: Any) -> None:
            events.append((final_export.holds_all(stack), arguments["InstanceIds"]))

    def wait(hosts: list[inventory.Host], _: object, __: object, ___: object, report: Any) -> None:
        events.append([host.name for host in hosts])
        report(hosts[0], "waiting for SSH")

    monkeypatch.setattr(provision.boot.first_boot, "wait", wait)
    provision.boot_stopped_hosts(replace(aws_context(Stopped()), stack=stack))
    assert events == [(False, ["i-2"]), ["web-0"]]
    shown = capsys.readouterr().err
    assert "starting web-0, which was stopped outside pneumoctl" in shown
    assert "web-0: waiting for SSH, 600 s at most" in shown
