"""A stack's directory: secrets, ports, damage."""

import json
import re
from pathlib import Path

import pytest

from pneumoctl.cli.main import run
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import write_atomically
from pneumoctl.registry import promotion
from pneumoctl.stack import documents, stack
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Cloud, Ports, Stack
from pneumoctl.targets.local.api import remote_api

PORTS = Ports({"redis": 1, "api": 2, "ui": 3}, {"redis": 1, "api": 2, "ui": 4})


def test_a_saved_stack_is_loaded_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    demo_stack = Stack("t", tmp_path / "pneumoctl" / "t")
    assert (demo_stack.exists, demo_stack.secrets(), demo_stack.ports(), demo_stack.inventory()) == (
        False,
        None,
        None,
        None,
    )
    secrets = Secrets.generate()
    demo_stack.save(secrets, PORTS)
    assert (demo_stack.secrets(), demo_stack.ports()) == (secrets, PORTS)
    assert demo_stack.directory.stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in demo_stack.directory.iterdir())
    inventory = demo_stack.inventory()
    assert inventory is not None
    assert inventory.url("ui") == "http://127.0.0.1:4"
    assert inventory.only("app").services == {"redis": 1, "api": 2}
    with pytest.raises(KeyError):
        inventory.only("train")


def test_the_ports_of_a_stack_of_version_0_1_are_read(tmp_path: Path) -> None:
    demo_stack = Stack("t", tmp_path)
    demo_stack.write("ports.json", {"wished": PORTS.requested, "given": PORTS.assigned})
    assert demo_stack.ports() == PORTS


def test_a_damaged_file_is_an_error_and_never_new_secrets(tmp_path: Path) -> None:
    demo_stack = Stack("t", tmp_path)
    (tmp_path / "secrets.json").write_text('{"redis_password": ')
    with pytest.raises(PneumoError, match=r"secrets\.json is damaged"):
        demo_stack.secrets()
    (tmp_path / "secrets.json").write_text('{"redis_password": "x"}')
    with pytest.raises(PneumoError, match=r"secrets\.json is damaged"):
        demo_stack.secrets()
    (tmp_path / "ports.json").write_text("[1]")
    with pytest.raises(PneumoError, match=r"ports\.json is damaged"):
        demo_stack.ports()


def test_the_api_of_a_stack_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(PneumoError, match="no stack") as caught:
        remote_api("t")
    assert caught.value.hint == "pneumoctl up"
    secrets = Secrets.generate()
    stack.find("t").save(secrets, PORTS)
    assert remote_api("t") == ("http://127.0.0.1:2", secrets.api_token, stack.find("t").layout.api_socket)


def test_directories_are_resolved_to_one_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    reached = {stack.home({"XDG_STATE_HOME": str(tmp_path / name)}) for name in ("real", "link", "link/../real")}
    assert reached == {tmp_path.resolve() / "real" / "pneumoctl"}


def test_a_relative_base_directory_is_ignored_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    documents.warn_once.cache_clear()
    for name, directory in (("XDG_STATE_HOME", stack.home), ("XDG_DATA_HOME", stack.exports)):
        assert directory({name: "relative"}) == directory({name: ""}) == directory({})
        directory({name: "relative"})
        assert capsys.readouterr().err == f"warning: {name}=relative is ignored: it is not an absolute path\n"


def test_a_training_and_a_change_of_what_serves_do_not_exclude_each_other(tmp_path: Path) -> None:
    demo_stack = Stack("t", tmp_path / "t")
    with demo_stack.gpu_locked("train --gpu"), demo_stack.locked("deploy api"):
        with pytest.raises(PneumoError, match="the GPU host of t is locked by pneumoctl train --gpu"):
            demo_stack.gpu_locked("gpu guard").__enter__()
        with pytest.raises(PneumoError, match="the stack is locked by pneumoctl deploy api"):
            demo_stack.locked("up").__enter__()
        assert demo_stack.records() == []


@pytest.mark.parametrize("name", ["ssh/id", "terraform/.pneumoctl/run.json", "logs/deep/er/log"])
def test_every_folder_on_the_way_to_a_file_is_for_the_owner_alone(tmp_path: Path, name: str) -> None:
    write_atomically(tmp_path / "pneumoctl" / "t" / name, b"", 0o600)
    folders = [path for path in tmp_path.rglob("*") if path.is_dir()]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700} and len(folders) >= 3


def test_the_directory_of_a_stack_made_by_an_earlier_version_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    demo_stack = stack.find("t")
    demo_stack.save(Secrets.generate(), PORTS)
    demo_stack.directory.chmod(0o755)
    assert run(["audit", "--stack", "t"]) == 0
    assert demo_stack.directory.stat().st_mode & 0o777 == 0o700


def test_a_teardown_that_only_shows_needs_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    demo_stack = stack.find("t")
    demo_stack.save(Secrets.generate(), PORTS)
    with demo_stack.locked("up"):
        assert run(["teardown", "--dry-run", "--stack", "t"]) == 0
        assert run(["teardown", "-y", "--stack", "t"]) == Exit.LOCKED


def test_saving_removes_what_a_killed_teardown_left(tmp_path: Path) -> None:
    demo_stack = Stack("t", tmp_path / "t")
    demo_stack.removed.mkdir()
    (demo_stack.removed / "picture").write_text("x")
    demo_stack.save(Secrets.generate(), PORTS)
    assert not demo_stack.removed.exists()


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
    "rollback api", "secrets rotate", "secrets show", "ssh web-0", "train --gpu", "tunnel grafana",
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


def test_a_lock_is_no_record(tmp_path: Path) -> None:
    demo_stack = Stack("t", tmp_path / "t")
    with demo_stack.locked("up"), promotion.locked(demo_stack):
        (tmp_path / "t.promoted.json").touch()
        assert len(list(tmp_path.glob("t.*lock"))) == 2
        assert demo_stack.records() == [tmp_path / "t.promoted.json"]
