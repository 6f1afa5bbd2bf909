"""What is written to a full or closed disk is an error that names the free space, the needed space and a way out."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from pneumoctl.stack import free_space
from pneumoctl.stack.free_space import NotWritten


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2_000_000))


def test_enough_space_is_no_error_and_makes_nothing(tmp_path: Path) -> None:
    free_space.require(tmp_path / "data" / "export", 2_000_000)
    assert list(tmp_path.iterdir()) == []


def test_too_little_space_is_told_with_what_is_free_and_needed(tmp_path: Path) -> None:
    with pytest.raises(NotWritten) as error:
        free_space.require(tmp_path / "new" / "out.tar", 2_345_678)
    where = f"(2.0 MB are free in {tmp_path}, about 2.3 MB are needed)"
    assert error.value.message == f"{tmp_path}/new/out.tar cannot be written: there is not enough space {where}"


def test_a_file_in_the_place_of_a_folder_is_no_space(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(NotWritten, match=f"{tmp_path}/data is not a folder that you can write to"):
        free_space.require(tmp_path / "data" / "pneumoctl" / "exports" / "t" / "results", 1)


def test_the_place_is_known_without_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_DATA_HOME")  # as in a step that is a process of its own
    target = tmp_path / "data" / "pneumoctl" / "exports" / "t" / "results"
    assert "set XDG_DATA_HOME to another folder" in NotWritten(target, "full").hint


@pytest.mark.parametrize(
    ("target", "instead"),
    [
        ("data/pneumoctl/exports/t/results", "set XDG_DATA_HOME to another folder"),
        ("ward.tar", "name another path"),
    ],
)
def test_the_hint_names_what_chooses_the_place(tmp_path: Path, target: str, instead: str) -> None:
    assert f", or {instead}; then run the same command again" in NotWritten(tmp_path / target, "full").hint


def test_in_the_directory_of_a_stack_there_is_no_other_place(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "pneumoctl"
    folder.mkdir(parents=True)
    hint = NotWritten(folder / "t" / "models", "full").hint
    assert hint == f"free space in {folder} or make it writable; then run the same command again"


def test_a_folder_of_the_user_that_is_named_pneumoctl_is_not_that_of_the_stacks(tmp_path: Path) -> None:
    assert ", or name another path; " in NotWritten(tmp_path / "pneumoctl" / "ward.tar", "full").hint


def test_a_failure_leaves_no_empty_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    for name, left in (("before/a/b/out", ["before"]), ("c/out", ["before", "c"])):
        target = tmp_path / name
        with pytest.raises(OSError, match="full"), free_space.no_empty_folders(target):
            target.parent.mkdir(parents=True)
            if left != ["before"]:
                target.write_text("part of another export")
            raise OSError("full")
        assert sorted(path.name for path in tmp_path.iterdir()) == left
    assert list((tmp_path / "before").iterdir()) == []
