"""A stack's directory: secrets, ports, damage."""

from pathlib import Path

import pytest

from pneumoctl import stack
from pneumoctl.errors import PneumoError
from pneumoctl.stack import Ports, Secrets, Stack, remote_api

PORTS = Ports({"redis": 1, "api": 2, "ui": 3}, {"redis": 1, "api": 2, "ui": 4})


def test_what_is_saved_comes_back_and_is_only_the_owners(tmp_path: Path) -> None:
    one = Stack("t", tmp_path / "pneumoctl" / "t")
    assert (one.exists, one.secrets(), one.ports(), one.inventory()) == (False, None, None, None)
    secrets = Secrets.generate()
    one.save(secrets, PORTS)
    assert (one.secrets(), one.ports()) == (secrets, PORTS)
    assert one.directory.stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in one.directory.iterdir())
    inventory = one.inventory()
    assert inventory is not None
    assert inventory.url("ui") == "http://127.0.0.1:4"
    assert inventory.one("app").services == {"redis": 1, "api": 2}
    with pytest.raises(KeyError):
        inventory.one("train")


def test_secrets_are_long_and_never_the_same() -> None:
    one, other = Secrets.generate(), Secrets.generate()
    assert len(set(one.values()) | set(other.values())) == 6
    assert all(len(secret) == 64 for secret in one.values())


def test_a_damaged_file_is_an_error_and_never_new_secrets(tmp_path: Path) -> None:
    one = Stack("t", tmp_path)
    (tmp_path / "secrets.json").write_text('{"redis_password": ')
    with pytest.raises(PneumoError, match=r"secrets\.json is damaged"):
        one.secrets()
    (tmp_path / "secrets.json").write_text('{"redis_password": "x"}')
    with pytest.raises(PneumoError, match=r"secrets\.json is damaged"):
        one.secrets()
    (tmp_path / "ports.json").write_text("[1]")
    with pytest.raises(PneumoError, match=r"ports\.json is damaged"):
        one.ports()


def test_the_api_of_a_stack_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(PneumoError, match="no stack") as caught:
        remote_api("t")
    assert caught.value.hint == "pneumoctl up"
    secrets = Secrets.generate()
    stack.find("t").save(secrets, PORTS)
    assert remote_api("t") == ("http://127.0.0.1:2", secrets.api_token)


def test_directories_have_one_name_however_they_are_reached(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    reached = {stack.home({"XDG_STATE_HOME": str(tmp_path / one)}) for one in ("real", "link", "link/../real")}
    assert reached == {tmp_path.resolve() / "real" / "pneumoctl"}
    assert stack.home({"XDG_STATE_HOME": "relative"}) == stack.home({})


def test_saving_removes_what_a_killed_teardown_left(tmp_path: Path) -> None:
    one = Stack("t", tmp_path / "t")
    one.removed.mkdir()
    (one.removed / "picture").write_text("x")
    one.save(Secrets.generate(), PORTS)
    assert not one.removed.exists()
