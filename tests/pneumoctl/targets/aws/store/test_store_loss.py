"""`up` replaces the host of the store only if an export or a backup holds all of its results, or by consent."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.aws.terraform.plan_json import Change
from pneumoctl.errors import PneumoError
from pneumoctl.results import transfer
from pneumoctl.stack import inventory
from pneumoctl.stack.secrets import Secrets
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.store import backups, stack_secrets, store_loss
from tests.pneumoctl.examples import HOSTS_OUTPUT
from tests.pneumoctl.targets.aws.store.configured_store import (
    APP,
    AWAY,
    CREATE,
    EMPTY,
    HELD,
    HELD_INTACT,
    KEY,
    REPLACE,
    UNKEPT,
    UPLOADS,
    World,
)


def test_backups_that_cannot_be_used_are_not_destroyed(world: World, tmp_path: Path) -> None:
    world.instances, world.backup = [], backups.Unusable(13, tmp_path)
    with pytest.raises(PneumoError, match=r"nothing was destroyed: no backup of .*13 files") as error:
        store_loss.export(world.context, tmp_path / "out")
    assert "pneumoctl up" not in error.value.hint and "pneumoctl teardown --purge" in error.value.hint
    with pytest.raises(PneumoError, match="no backup of the results can be used") as error:
        store_loss.secure(world.context, (replace(REPLACE[0], action="create"),), False)
    assert "pneumoctl up --lose-results" in error.value.hint
    store_loss.secure(world.context, (replace(REPLACE[0], action="create"),), True)
    world.instances = [APP]  # the store is there, and what it holds is known
    with pytest.raises(
        store_loss.LosesResults, match=r"lost: 3 results, .* which neither an export nor a backup holds"
    ):
        store_loss.secure(world.context, REPLACE, False)


def test_up_refuses_to_replace_the_store_until_an_export_holds_everything(world: World, tmp_path: Path) -> None:
    stack = world.context.stack
    with pytest.raises(PneumoError, match="lost: 3 results, 2 pictures, 1 review, which neither an export") as error:
        store_loss.secure(world.context, REPLACE, False)
    assert "pneumoctl results export" in error.value.hint and "--lose-results" in error.value.hint
    assert world.told[-1][1] == "start" and transfer.wanted(stack) == []
    world.told.clear()
    world.export(stack, None, tmp_path / "out")
    store_loss.secure(world.context, REPLACE, False)
    assert sorted(world.told) == sorted((name, "stop") for name in UPLOADS)
    assert transfer.wanted(stack) == [tmp_path / "out"]


def test_a_backup_that_is_made_while_uploads_are_stopped_is_as_good_as_an_export(world: World, tmp_path: Path) -> None:
    world.backup = (tmp_path / "old.tar", replace(HELD, contents="before the last result"))
    with pytest.raises(PneumoError, match="neither an export nor a backup"):
        store_loss.secure(world.context, REPLACE, False)
    world.told.clear()
    world.backup = (tmp_path / "new.tar", HELD_INTACT)
    store_loss.secure(world.context, REPLACE, False)
    assert world.told[-1] == ("app-0", "back up") and "start" not in {verb for _, verb in world.told}
    assert transfer.wanted(world.context.stack) == [tmp_path / "new.tar"]


def test_a_backup_is_made_of_a_trail_that_is_newer_than_the_last_export(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = world.context.stack
    world.export(stack, None, tmp_path / "out")
    world.held = [replace(HELD, trail="newer")]
    store_loss.secure(world.context, REPLACE, False)
    assert ("app-0", "back up") in world.told and transfer.wanted(stack) == [tmp_path / "out"]
    assert "clinical acts since" in capsys.readouterr().err, "no backup has them either"
    transfer.forget_wanted(stack, tmp_path / "out")
    world.backup = (tmp_path / "new.tar", replace(HELD_INTACT, trail="newer"))
    store_loss.secure(world.context, REPLACE, False)
    assert transfer.wanted(stack) == [tmp_path / "new.tar"] and capsys.readouterr().err == ""


def test_the_trail_of_a_store_whose_results_are_erased_is_not_lost(world: World, tmp_path: Path) -> None:
    world.held = [replace(EMPTY, trail="some")]
    with pytest.raises(store_loss.LosesResults, match="lost: the trail of clinical acts, which neither"):
        store_loss.secure(world.context, REPLACE, False)
    kept = replace(EMPTY, counts={**EMPTY.counts, "damaged": 0}, trail="some")
    world.backup = (tmp_path / "new.tar", kept)
    store_loss.secure(world.context, REPLACE, False)
    assert transfer.wanted(world.context.stack) == [tmp_path / "new.tar"]


def test_a_copy_with_damaged_parts_is_no_reason_to_destroy_the_store(world: World, tmp_path: Path) -> None:
    damaged = replace(HELD, counts={**HELD.counts, "damaged": 1})
    world.held = [damaged]
    world.export(world.context.stack, None, tmp_path / "out")
    for world.backup in (None, (tmp_path / "new.tar", damaged)):
        world.told.clear()
        with pytest.raises(store_loss.LosesResults, match="lost: 1 damaged part of 3 results") as error:
            store_loss.secure(world.context, REPLACE, False)
        assert "pneumoctl results import PATH" in error.value.hint and "--lose-results" in error.value.hint
        assert world.told[-1][1] == "start" and transfer.wanted(world.context.stack) == []
    world.backup = (tmp_path / "before the damage.tar", HELD_INTACT)
    store_loss.secure(world.context, REPLACE, False)
    assert transfer.wanted(world.context.stack) == [tmp_path / "before the damage.tar"]


def test_without_backups_in_the_settings_none_is_made(world: World) -> None:
    world.context = replace(world.context, settings=replace(world.context.settings, backup_minutes=0))
    with pytest.raises(PneumoError):
        store_loss.secure(world.context, REPLACE, False)
    assert "back up" not in {verb for _, verb in world.told}


def test_up_replaces_an_empty_store_other_hosts_and_by_consent_any(world: World) -> None:
    store_loss.secure(world.context, (replace(REPLACE[0], address='aws_instance.host["app-1"]'),), False)
    store_loss.secure(world.context, REPLACE, True)
    assert world.told == []
    world.held = [AWAY]
    with pytest.raises(PneumoError, match="an unknown number of results"):
        store_loss.secure(world.context, REPLACE, False)
    world.held = [EMPTY]
    store_loss.secure(world.context, REPLACE, False)
    assert transfer.wanted(world.context.stack) == []


def test_a_plan_says_what_it_loses(world: World, tmp_path: Path) -> None:
    def lines(action: Any, address: str = store_loss.ADDRESS) -> list[str]:
        return store_loss.lines(world.context, [Change(address, "aws_instance", action, {}, {})])

    line, users = lines("replace")
    assert line.endswith("a backup holds them: 3 results, 2 pictures, 1 review on app-0")
    assert users.startswith("! users and tokens of the page are lost with it")
    assert lines("update") == [] == lines("replace", 'aws_instance.host["web-0"]')
    world.export(world.context.stack, None, tmp_path / "o u t")
    world.instances = []
    line, users = lines("create")
    assert users.startswith("! users and tokens")
    assert line.endswith(f"imports the newest backup, if there is one; your last export: '{tmp_path}/o u t'")


@pytest.mark.parametrize("changes", [REPLACE, CREATE])
def test_up_reads_missing_keys_back_before_it_destroys_the_hosts_that_have_them(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: tuple[Change, ...]
) -> None:
    world.backup, asked = (tmp_path / "newest.tar", UNKEPT), []

    def read_back(_: Context, hosts: inventory.Inventory, adopt: bool) -> None:
        asked.extend(host.name for host in hosts.hosts)
        world.backup = (tmp_path / "newest.tar", HELD_INTACT)

    stack = world.context.stack
    secrets = asdict(Secrets.generate())
    stack.write("secrets.json", secrets)
    monkeypatch.setattr(stack_secrets, "read_back", read_back)
    with pytest.raises(PneumoError, match=KEY) as error:
        store_loss.secure(world.context, changes, False)
    assert "pneumoctl up --adopt" in error.value.hint and "--lose-results" in error.value.hint
    assert transfer.wanted(stack) == [] and asked == []
    hosts = stack.hosts()
    assert hosts
    world.instances = [
        replace(APP, id=host.instance_id, name=host.name) for host in hosts.hosts if host.name != "web-0"
    ]
    store_loss.secure(world.context, changes, False, adopt=True)
    assert transfer.wanted(stack) == [tmp_path / "newest.tar"] and "app-0" in asked and "web-0" not in asked
    (stack.directory / "secrets.json").unlink()
    asked.clear()
    store_loss.secure(world.context, changes, False)  # missing secrets are read back without being asked
    assert "app-0" in asked


def test_the_inventory_and_the_address_name_the_same_host() -> None:
    hosts = inventory.from_outputs(HOSTS_OUTPUT, "198.51.100.1")
    assert json.dumps(hosts.store.name) in store_loss.ADDRESS
