"""`up` imports what the old store held into the new one, until that has succeeded."""

from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.results import transfer
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.store import backups, store_loss, wanted_imports
from tests.pneumoctl.targets.aws.store.configured_store import CREATE, HELD, REPLACE, World


def test_the_newest_backup_is_imported_if_the_host_is_gone(world: World, tmp_path: Path) -> None:
    world.instances = []
    store_loss.secure(world.context, CREATE, False)
    assert transfer.wanted(world.context.stack) == []
    world.backup = (tmp_path / "newest.tar", HELD)
    store_loss.secure(world.context, CREATE, True)
    assert transfer.wanted(world.context.stack) == []
    store_loss.secure(world.context, CREATE, False)
    assert transfer.wanted(world.context.stack) == [tmp_path / "newest.tar"]
    assert wanted_imports.import_all(world.context.stack) is None  # it was removed meanwhile: only a warning
    assert transfer.wanted(world.context.stack) == []


def test_the_export_is_imported_into_the_new_store_until_that_succeeded(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, imported = world.context.stack, []

    def restore(_: Stack, store: object, path: Path) -> dict[str, object]:
        imported.append(path)
        if len(imported) == 1:
            raise PneumoError("nearly full")
        return {"added": 3, "brought_back": ["ab" * 16]}

    monkeypatch.setattr(transfer, "restore", restore)
    world.export(stack, None, tmp_path / "out")
    assert wanted_imports.import_all(stack) is None
    store_loss.secure(world.context, REPLACE, False)
    world.export(stack, None, tmp_path / "of the new store")
    with pytest.raises(PneumoError, match="the new app-0 serves without the exported results: nearly full") as error:
        wanted_imports.import_all(stack)
    assert error.value.hint == f"pneumoctl up, or: pneumoctl results import {tmp_path}/out"
    assert wanted_imports.import_all(stack) == {"added": 3, "brought_back": ["ab" * 16]}  # by the next `up`
    assert wanted_imports.import_all(stack) is None and imported == [tmp_path / "out"] * 2


def test_a_rerun_adds_the_newest_backup_to_what_is_wanted_and_imports_both(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stack, imported = world.context.stack, []
    world.export(stack, None, tmp_path / "out")
    store_loss.secure(world.context, REPLACE, False)
    world.instances = []  # terraform was broken off between the deletion and the creation
    older = tmp_path / "older.tar"
    older.touch()
    world.backup = (older, replace(HELD, contents="hours before"))
    for _ in range(2):
        store_loss.secure(world.context, CREATE, False)
        assert transfer.wanted(stack) == [tmp_path / "out", older]
    world.backup = (tmp_path / "same.tar", HELD)
    store_loss.secure(world.context, CREATE, False)
    assert transfer.wanted(stack) == [tmp_path / "out", older]

    def restore(_: Stack, store: object, path: Path) -> dict[str, int]:
        if path == older and not imported.count(older):
            imported.append(path)
            raise PneumoError("nearly full")
        imported.append(path)
        return {"added": 3 if path.name == "out" else 0, "damaged": 1 if path.name == "out" else 0}

    monkeypatch.setattr(transfer, "restore", restore)
    with pytest.raises(PneumoError, match="nearly full"):
        wanted_imports.import_all(stack)
    assert "1 result without picture: it was damaged before the export" in capsys.readouterr().err
    assert transfer.wanted(stack) == [older]
    wanted_imports.import_all(stack)
    assert imported == [tmp_path / "out", older, older] and transfer.wanted(stack) == []


def test_a_backup_that_cannot_be_fetched_does_not_matter_if_a_copy_is_wanted_already(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise PneumoError("S3 denies it")

    monkeypatch.setattr(backups, "fetch", fails)
    stack, world.instances = world.context.stack, []
    with pytest.raises(PneumoError, match="S3 denies it"):
        store_loss.secure(world.context, CREATE, False)
    transfer.want_import(stack, tmp_path / "gone", "digest")
    with pytest.raises(PneumoError, match="S3 denies it"):
        store_loss.secure(world.context, CREATE, False)
    world.export(stack, None, tmp_path / "out")
    transfer.want_import(stack, tmp_path / "out", "digest")
    store_loss.secure(world.context, CREATE, False)
    assert tmp_path / "out" in transfer.wanted(stack)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"exports": 1}'])
def test_a_damaged_list_of_wanted_imports_is_named_with_what_to_do(world: World, text: str) -> None:
    file = world.context.stack.directory / transfer.WANTED
    file.write_text(text)
    with pytest.raises(PneumoError, match=f"{file} is damaged") as error:
        wanted_imports.import_all(world.context.stack)
    assert "pneumoctl results import" in error.value.hint
    assert transfer.waiting(world.context.stack) is None  # ends neither status nor teardown
