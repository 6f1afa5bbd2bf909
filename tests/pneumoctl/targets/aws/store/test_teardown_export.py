"""A teardown destroys the host of the store only after an export that holds all of its results."""

from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.results import final_export, transfer
from pneumoctl.stack.free_space import NotWritten
from pneumoctl.targets.aws.store import store_loss
from pneumoctl.targets.common.keep import keep
from tests.pneumoctl.targets.aws.store.configured_store import (
    APP,
    AWAY,
    HELD,
    HELD_INTACT,
    KEY,
    REPLACED,
    UNKEPT,
    UPLOADS,
    World,
)


def test_a_teardown_stops_uploads_exports_and_leaves_them_stopped(world: World, tmp_path: Path) -> None:
    assert store_loss.described(world.context, REPLACED) == "3 results, 2 pictures, 1 review on app-0"
    exported = store_loss.export(world.context, tmp_path / "out")
    assert exported is not None and exported.counts["results"] == 3
    assert sorted(world.told) == sorted((name, "stop") for name in UPLOADS)
    assert final_export.holds_all(world.context.stack)


def test_a_full_disk_stops_no_uploads(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(store: object, target: Path, more: int) -> None:
        raise NotWritten(target, "there is not enough space", more)

    monkeypatch.setattr(transfer, "require_space", full)
    with pytest.raises(PneumoError, match=r"not enough space .* about 3.0 MB are needed") as error:
        store_loss.export(world.context, tmp_path / "out", 3_000_000)
    assert error.value.hint.startswith(f"free space in {tmp_path} or") and world.told == []
    assert error.value.details["changed"] == []  # so that its teardown does not count as unfinished


def test_a_teardown_whose_export_failed_destroys_nothing_and_uploads_go_on(world: World, tmp_path: Path) -> None:
    world.held = [PneumoError("the store on app-0 cannot be used: nearly full")]
    with pytest.raises(PneumoError, match=r"were not exported, so nothing was destroyed: .*nearly full") as error:
        store_loss.export(world.context, tmp_path / "out")
    assert "pneumoctl teardown --purge" in error.value.hint and "changed" not in error.value.details
    assert {name for name, verb in world.told if verb == "start"} == UPLOADS
    assert "unknown number of results" in store_loss.described(world.context, REPLACED)


def test_a_result_that_came_in_during_the_export_ends_the_teardown(world: World, tmp_path: Path) -> None:
    world.held = [HELD, replace(HELD, contents="one more")]
    with pytest.raises(PneumoError, match="results were added or erased on app-0"):
        store_loss.export(world.context, tmp_path / "out")


def test_damaged_results_end_a_teardown(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = replace(HELD, counts={**HELD.counts, "damaged": 2})
    monkeypatch.setattr(transfer, "export", lambda *_: damaged)
    with pytest.raises(PneumoError, match=r"not all exported, .*: 2 records, pictures or") as error:
        store_loss.export(world.context, tmp_path / "out")
    assert error.value.code == Exit.PARTLY and "--purge" in error.value.hint


@pytest.mark.parametrize("state", ["none", "shutting-down", "terminated"])
def test_a_host_that_is_gone_holds_nothing(world: World, tmp_path: Path, state: str) -> None:
    world.instances = [] if state == "none" else [replace(APP, state=state)]
    world.held = [AWAY]
    assert store_loss.export(world.context, tmp_path / "out") is None
    assert store_loss.described(world.context, REPLACED) == ""
    world.backup = (tmp_path / "newest.tar", HELD)
    assert store_loss.export(world.context, tmp_path / "out") == HELD


def test_a_host_that_is_being_deleted_does_not_hide_the_one_in_its_place(world: World, tmp_path: Path) -> None:
    world.instances = [APP, replace(APP, id="i-0", state="shutting-down")]
    assert store_loss.export(world.context, tmp_path / "out") == HELD_INTACT


def test_an_interrupted_teardown_goes_on_with_the_export_that_it_had_made(world: World, tmp_path: Path) -> None:
    store_loss.export(world.context, tmp_path / "out")
    world.held = [PneumoError("the store on app-0 cannot be used")]  # the host answers: it may have booted again
    with pytest.raises(PneumoError, match="cannot be used"):
        store_loss.export(world.context, tmp_path / "again")
    world.held = [AWAY]
    assert store_loss.export(world.context, tmp_path / "again") is None
    assert final_export.path(world.context.stack) == tmp_path / "out"
    final_export.forget(world.context.stack)  # as `up` and `configure` do: uploads are possible again
    with pytest.raises(PneumoError, match="it is silent"):
        store_loss.export(world.context, tmp_path / "again")


def test_an_export_that_was_removed_since_does_not_count(world: World, tmp_path: Path) -> None:
    store_loss.export(world.context, tmp_path / "out")
    (tmp_path / "out").rmdir()
    world.backup = (tmp_path / "newest.tar", HELD)
    world.held = [AWAY]
    with pytest.raises(PneumoError, match="it is silent"):
        store_loss.export(world.context, tmp_path / "again")
    world.instances = []
    assert store_loss.export(world.context, tmp_path / "again") == HELD


@pytest.mark.parametrize("gone", [True, False])
def test_a_teardown_without_the_key_of_the_results_destroys_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    monkeypatch.setattr(transfer, "export", lambda *_: UNKEPT)
    if gone:
        world.instances, world.backup = [], (tmp_path / "newest.tar", UNKEPT)
    with pytest.raises(PneumoError, match=f"so nothing was destroyed: .*{KEY}") as error:
        store_loss.export(world.context, tmp_path / "out")
    assert error.value.hint.startswith("pneumoctl up --adopt, which reads the keys back from the hosts, then: ")
    assert "--purge" in error.value.hint and not final_export.holds_all(world.context.stack)
    assert gone or world.told[-1][1] == "start"


def test_purge_and_results_only_contradict() -> None:
    assert (keep(False, False), keep(True, False), keep(False, True)) == ("everything", "nothing", "results")
    with pytest.raises(PneumoError) as error:
        keep(True, True)
    assert error.value.code == Exit.USAGE
