"""With --region, AWS is asked by tags: a stack of the same name on this machine, wherever it is, prevents nothing."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.aws import ec2
from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.cli.main import run as pneumoctl
from pneumoctl.gpu import orphans, scheduled_stop
from pneumoctl.stack.saved import Cloud as Where
from pneumoctl.stack.saved import Ports
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.stack import find
from tests.pneumoctl.cloud import ACCOUNT, REGION, Cloud, guarded, launch

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]
WORDS = ["--stack", "watch", "--region", REGION]
HERE = Where(REGION, "", ACCOUNT, "bucket")


def local() -> None:
    find("watch").save(Secrets.generate(), Ports({"nginx": 8080}, {"nginx": 8080}))


def in_aws(where: Where) -> None:
    find("watch").save_cloud(where)


def damaged() -> None:
    in_aws(HERE)
    (find("watch").directory / "aws.json").write_text("{")


NAMESAKES = {
    "local": local,
    "another region": lambda: in_aws(replace(HERE, region="us-east-1", profile="nobody")),
    "another account": lambda: in_aws(replace(HERE, account="210987654321")),
    "damaged": damaged,
}


@pytest.fixture
def aws(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Aws:
    monkeypatch.setattr(ec2, "POLL_S", 0.05)
    monkeypatch.setattr(scheduled_stop, "PAUSE_S", 0.01)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    guarded(cloud.aws(), "watch")
    return cloud.aws()


@pytest.fixture
def train(aws: Aws) -> Instance:
    return launch(aws, "watch", "train", "train", "g5.xlarge")


@pytest.mark.parametrize("name", NAMESAKES)
def test_a_stack_of_that_name_on_this_machine_does_not_prevent_the_stop(
    name: str, aws: Aws, train: Instance, capsys: pytest.CaptureFixture[str]
) -> None:
    NAMESAKES[name]()
    assert pneumoctl(["gpu", "status", *WORDS]) == 7
    assert train.id in capsys.readouterr().out
    assert pneumoctl(["gpu", "stop", *WORDS, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == [train.id]
    assert aws.states([train.id])[train.id] == "stopped"


@pytest.mark.parametrize("name", ["local", "another region"])
def test_a_region_without_the_stack_is_a_usage_error(name: str, aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    NAMESAKES[name]()
    assert pneumoctl(["gpu", "stop", *WORDS]) == 2
    error = capsys.readouterr().err
    assert f"the stack 'watch' on this machine is not there, and no host of that name in {REGION}" in error


def test_a_stack_of_this_machine_without_a_host_has_nothing_to_stop(
    aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    in_aws(HERE)
    assert pneumoctl(["gpu", "stop", *WORDS]) == 0
    assert f"stack watch has no GPU host in {REGION}" in capsys.readouterr().out
    in_aws(replace(HERE, account="210987654321"))
    assert pneumoctl(["gpu", "stop", *WORDS]) == 2
    assert "is in account 210987654321" in capsys.readouterr().err


def test_a_reap_covers_every_stack_and_is_prevented_by_none(
    aws: Aws, train: Instance, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    in_aws(replace(HERE, region="us-east-1"))
    monkeypatch.setenv("PNEUMO_REGION", REGION)
    monkeypatch.setattr(orphans, "regions", lambda _: [REGION])
    assert pneumoctl(["gpu", "reap", "-y", "--stack", "watch"]) == 0  # the option is accepted, as it was before
    assert aws.states([train.id])[train.id] == "stopped"
    capsys.readouterr()
    assert pneumoctl(["gpu", "reap", "--help"]) == 0
    assert "--stack" not in capsys.readouterr().out
    local_stack = find("here")
    local_stack.save(Secrets.generate(), Ports({"nginx": 8080}, {"nginx": 8080}))
    assert pneumoctl(["gpu", "guard", "--stack", "here"]) == 2
    assert "next: pneumoctl gpu reap, for the GPU hosts of every stack" in capsys.readouterr().err
