"""Where a stack is: remembered, not moved, and told by each command on a stack that is elsewhere or nowhere."""

import json
import re
from pathlib import Path

import pytest

from pneumoctl.cli.main import run
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import stack
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Cloud, Ports

PORTS = Ports({"redis": 1, "api": 2, "ui": 3}, {"redis": 1, "api": 2, "ui": 4})


CLOUD = Cloud("eu-west-1", "work", "123456789012", "ours")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def test_a_stack_remembers_where_it_is(home: Path) -> None:
    settings, resolved = stack.resolve(Settings())
    assert (settings.target, resolved.target) == ("local", "")
    resolved.save_cloud(CLOUD)
    settings, resolved = stack.resolve(Settings())
    assert (settings.target, settings.region, settings.profile) == ("aws", "eu-west-1", "work")
    assert (resolved.directory / "aws.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "settings", [Settings(target="local"), Settings(region="us-east-1"), Settings(bucket="another")]
)
def test_a_stack_does_not_move(home: Path, settings: Settings) -> None:
    stack.find("default").save_cloud(CLOUD)
    with pytest.raises(PneumoError, match="exists already") as caught:
        stack.resolve(settings)
    assert caught.value.code == Exit.USAGE


def test_the_hint_for_another_target_works_where_the_settings_name_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "pneumo.toml").write_text('target = "aws"')
    monkeypatch.chdir(home)
    stack.find("default").save(Secrets.generate(), PORTS)
    assert run(["teardown", "-y", "--json"]) == Exit.USAGE
    variable, *words = json.loads(capsys.readouterr().out)["error"]["hint"].split("use this one: ")[1].split()
    assert words == ["pneumoctl", "status", "--stack", "default"]
    monkeypatch.setenv(*variable.split("="))
    assert run(["teardown", "--stack", "default", "--dry-run"]) == 0


def test_a_local_stack_is_not_used_as_one_on_aws(home: Path) -> None:
    stack.find("default").save(Secrets.generate(), PORTS)
    assert stack.resolve(Settings())[0].target == "local"
    with pytest.raises(PneumoError, match="target local, not aws"):
        stack.resolve(Settings(target="aws"))


ON_AWS = (
    "configure", "cost", "data ls", "deploy api", "drift", "gpu guard", "gpu status", "gpu stop", "model pull m",
    "rollback api", "secrets rotate", "ssh web-0", "train --gpu", "tunnel grafana",
)  # fmt: skip


def test_a_command_for_aws_names_the_target_of_the_stack_and_what_helps(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.find("here").save(Secrets.generate(), PORTS)
    for words in ON_AWS:
        assert run([*words.split(), "--stack", "here", "--json"]) == Exit.USAGE, words
        error = json.loads(capsys.readouterr().out)["error"]
        assert "stack here runs on this machine (target local)" in error["message"], words
        assert error["hint"].endswith("make one: pneumoctl up --target aws --stack NAME"), words
        assert re.match(r"pneumoctl \w+|name a stack on aws", error["hint"]), words
        if words in ("gpu status", "gpu stop"):  # credentials are enough for these
            continue
        assert run([*words.split(), "--stack", "none", "--json"]) == Exit.FAILED, words
        error = json.loads(capsys.readouterr().out)["error"]
        assert (words, error["hint"]) == (words, "pneumoctl up --stack none --target aws")


def test_a_gpu_of_a_stack_of_another_machine_needs_its_region(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    assert run(["gpu", "stop", "--stack", "none"]) == Exit.USAGE
    error = capsys.readouterr().err
    assert "there is no stack 'none' on this machine" in error and "gpu stop --stack none --region REGION" in error


@pytest.mark.parametrize("words", [["logs"], ["logs", "--follow"], ["logs", "api"], ["predict", "--remote", "-"]])
def test_a_command_on_no_stack_is_refused(home: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--stack", "none"]) == Exit.FAILED
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err == "error: there is no stack 'none'\n  next: pneumoctl up --stack none\n"


def test_teardown_names_every_file_that_remains(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = home / "pneumoctl"
    folder.mkdir()
    for name in ("t.promoted.json", "t.audit.jsonl", "other.promoted.json"):
        (folder / name).write_text("{}")
    (folder / "t.runs").mkdir()
    assert run(["teardown", "-y", "--stack", "t", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)["records"]
    assert records == sorted(str(path) for path in folder.iterdir() if path.name.startswith("t"))
    assert run(["teardown", "-y", "--stack", "t"]) == 0
    shown = capsys.readouterr().out
    assert all(record in shown for record in records) and len(records) == 3


def test_the_hosts_of_a_stack_are_remembered(home: Path) -> None:
    default = stack.find("default")
    default.make()
    assert default.hosts() is None
    hosts = Inventory((Host("nginx", "nginx", "10.0.0.1", {"ui": 1}, "i-1", "198.51.100.1", "admin", "t3.micro"),))
    default.save_hosts(hosts)
    assert default.hosts() == hosts
    (default.directory / "inventory.json").write_text('{"hosts": [{"nome": 1}]}')
    with pytest.raises(PneumoError, match="damaged"):
        default.hosts()
