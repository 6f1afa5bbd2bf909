"""A stack's directory: secrets, ports, damage."""

from pathlib import Path

import pytest

from pneumoctl.cli.main import run
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import write_atomically
from pneumoctl.registry import promotion
from pneumoctl.stack import documents, stack
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.stack import Ports, Stack
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


def test_a_lock_is_no_record(tmp_path: Path) -> None:
    demo_stack = Stack("t", tmp_path / "t")
    with demo_stack.locked("up"), promotion.locked(demo_stack):
        (tmp_path / "t.promoted.json").touch()
        assert len(list(tmp_path.glob("t.*lock"))) == 2
        assert demo_stack.records() == [tmp_path / "t.promoted.json"]
