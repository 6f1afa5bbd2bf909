"""One stack, two users: root does not take files from their owner, and an unreadable file is not called damaged."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from model import bundle
from pneumoctl.cli.main import run
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import audit, ownership, runs, stack
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.stack import Damaged, Ports, Stack
from pneumoctl.targets.common import preflight

NOBODY = 65534
PORTS = {"redis": 1, "api": 2, "ui": 3}


@contextmanager
def nobody() -> Iterator[None]:
    """Act as another user. Modules must have been imported before."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that others may walk through; the folders of pytest are closed to them."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder).resolve()


@pytest.fixture
def demo_stack(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack that belongs to another user."""
    if os.geteuid() != 0:
        pytest.skip("two users are needed: this needs root")
    monkeypatch.setenv("XDG_STATE_HOME", str(open_folder / "state"))
    monkeypatch.setenv("PNEUMO_STACK", "t")
    state = open_folder / "state"
    state.mkdir()
    os.chown(state, NOBODY, NOBODY)
    located = stack.find("t")
    with nobody():
        located.save(Secrets.generate(), Ports(PORTS, PORTS))
    return located


def owners(folder: Path) -> set[int]:
    return {path.stat().st_uid for path in folder.rglob("*")}


@pytest.mark.parametrize("line", ["up -y", "teardown -y --purge", "train ."])
def test_root_changes_nothing_in_anothers_stack(
    demo_stack: Stack, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in demo_stack.directory.rglob("*")}
    assert run(line.split()) == Exit.USAGE
    stderr = capsys.readouterr().err
    assert "belongs to nobody" in stderr and "without sudo" in stderr and "purge" not in stderr
    assert {path: path.stat().st_mtime_ns for path in demo_stack.directory.rglob("*")} == before
    assert owners(demo_stack.directory.parent) == {NOBODY}


def test_root_makes_no_stack_in_anothers_folder(demo_stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["up", "-y", "--stack", "other"]) == Exit.USAGE
    assert "belongs to nobody" in capsys.readouterr().err
    with pytest.raises(PneumoError, match="belongs to nobody"):
        stack.find("other").save(Secrets.generate(), Ports(PORTS, PORTS))
    assert owners(demo_stack.directory.parent) == {NOBODY}


def test_the_preflight_says_what_up_refuses(demo_stack: Stack) -> None:
    for name in ("t", "other"):
        (row,) = (row for row in preflight.disk(stack.find(name).directory, 0) if not row.good)
        assert row.check == "writable" and "belongs to nobody" in row.seen and "without sudo" in row.fix


def _in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(folder))


def _import_all(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command as root, with success and with an error: nobody may not be able to read what it imports late."""
    (folder / "used").touch()
    for place, expected in ((folder / "good", 0), (folder / "used" / "a", Exit.FAILED)):
        _in_folder(place, monkeypatch)
        assert run([*line.split(), "--json"]) == expected


@pytest.mark.parametrize("kind", ["closed", "not writable", "file"])
def test_a_folder_that_cannot_be_used_is_one_error_that_names_it(
    kind: str, open_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("two users are needed: this needs root")
    folder = open_folder / "folder"
    if kind == "file":
        folder.touch()
    else:
        folder.mkdir(mode=0o700 if kind == "closed" else 0o755)
    shipped = Path(shutil.copytree(bundle.pretrained(), open_folder / "bundle"))  # nobody may not enter the checkout
    for path in (shipped, *shipped.rglob("*")):
        path.chmod(0o755)
    for line in ("teardown -y", f"model register {shipped}"):
        _import_all(line, open_folder, monkeypatch)
        _in_folder(folder / "a", monkeypatch)
        capsys.readouterr()
        with nobody():
            assert run([*line.split(), "--json"]) == Exit.FAILED
        error = json.loads(capsys.readouterr().out)["error"]
        assert error["message"].startswith(f"{folder} (it belongs to root) cannot be used by nobody: "), line
        assert "XDG_STATE_HOME" in error["hint"], line


def test_what_root_records_of_anothers_stack_stays_its_owners(demo_stack: Stack) -> None:
    with audit.recorded(demo_stack, "gpu stop", {}) as act:
        act.begin()
    assert len(audit.chain(demo_stack).entries()) == 2 and owners(demo_stack.directory.parent) == {NOBODY}
    with nobody(), audit.recorded(demo_stack, "gpu stop", {}) as act:
        act.begin()
    assert len(audit.chain(demo_stack).entries()) == 4 and not audit.chain(demo_stack).verify().faults


@pytest.mark.parametrize("line", ["status", "up -y", "teardown -y", "teardown -y --purge", "predict --remote x.png"])
def test_a_file_that_may_not_be_read_is_not_damaged(
    demo_stack: Stack, line: str, capsys: pytest.CaptureFixture[str], open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (open_folder / "x.png").write_bytes(b"")
    (open_folder / "x.png").chmod(0o644)
    monkeypatch.chdir(open_folder)
    run(line.split())  # loads what it needs, and is refused or fails as root
    capsys.readouterr()
    for name in ("ports.json", "secrets.json"):
        os.chown(demo_stack.directory / name, 0, 0)
    with nobody():
        assert run(line.split()) in (Exit.FAILED, Exit.PREFLIGHT)
    stderr = capsys.readouterr().err
    assert "Permission denied" in stderr and "damaged" not in stderr and "purge" not in stderr
    assert "belongs to root" in stderr and "chown -R nobody" in stderr
    assert (demo_stack.directory / "secrets.json").exists()


def test_a_run_that_may_not_be_read_is_not_damaged(demo_stack: Stack) -> None:
    with nobody():
        runs.save(demo_stack, runs.Run("20260101-000000-abcd", "t", runs.HERE, "2026-01-01T00:00:00+00:00", [], 1, 1))
    (record,) = (path for path in demo_stack.directory.parent.rglob("*.json") if "abcd" in str(path))
    os.chown(record, 0, 0)
    with nobody(), pytest.raises(PneumoError, match="cannot be read: Permission denied"):
        runs.load_all(demo_stack)


def test_only_a_readable_invalid_file_is_damaged(demo_stack: Stack) -> None:
    (demo_stack.directory / "ports.json").write_text("{")
    with pytest.raises(Damaged, match="damaged"):
        demo_stack.ports()


def test_a_folder_on_a_read_only_disk_is_not_called_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda _path, mode, **_: mode == os.F_OK)
    with pytest.raises(PneumoError, match=r"cannot be used by .*: it is not writable"):
        ownership.require_writable(tmp_path)
