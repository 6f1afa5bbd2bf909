"""A store that does not answer counts as empty only if it certainly never held anything."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.results import final_export, transfer
from pneumoctl.results.transfer import NothingStored
from pneumoctl.ssh.connections import LoginRefused
from pneumoctl.stack import inventory
from pneumoctl.targets.aws.store import new_store, store_loss
from tests.pneumoctl.examples import HOSTS_OUTPUT
from tests.pneumoctl.targets.aws.store.configured_store import (
    APP,
    AWAY,
    AWAY_HOST,
    HELD_INTACT,
    REPLACE,
    REPLACED,
    World,
    create,
)


def test_a_store_that_answers_is_exported_whatever_was_recorded_here(world: World, tmp_path: Path) -> None:
    for number, record in enumerate((lambda: None, lambda: create(world))):
        record()
        assert "3 results" in store_loss.described(world.context, REPLACED)
        with pytest.raises(store_loss.LosesResults):
            store_loss.secure(world.context, REPLACE, False)
        assert store_loss.export(world.context, tmp_path / str(number)) == HELD_INTACT
        (world.context.stack.directory / final_export.FILE).unlink()
        (world.context.stack.directory / transfer.LAST).unlink()


def test_a_silent_store_holds_nothing_only_if_this_directory_created_it_and_never_configured_it(
    world: World, tmp_path: Path
) -> None:
    def empty() -> bool:
        try:
            store_loss.secure(world.context, REPLACE, False)
            return store_loss.export(world.context, tmp_path / "out") is None
        except PneumoError as error:
            assert "it is silent" in error.message
            return False

    world.held, stack = [AWAY], world.context.stack
    stack.journal.write_text('{"event": "done", "step": "Train", "host": "train-0"}\n')
    assert not empty()
    create(world)
    assert empty()
    create(world, PneumoError("no capacity for web-0"))
    assert empty()
    stack.directory.joinpath("inventory.json").unlink()  # an apply that failed has no outputs
    assert empty()
    stack.save_hosts(inventory.from_outputs(HOSTS_OUTPUT, "198.51.100.1"))
    world.instances = [replace(APP, id="i-4")]  # made since, by somebody else
    assert not empty()
    create(world)
    new_store.configured(stack)
    assert not empty()


@pytest.mark.parametrize(
    "away", [LoginRefused(AWAY_HOST), PneumoError("the host key of app-0 has changed")], ids=["login", "key"]
)
def test_a_host_that_refuses_is_not_silent(world: World, tmp_path: Path, away: PneumoError) -> None:
    create(world)
    world.held = [away]
    with pytest.raises(PneumoError, match="so nothing was destroyed"):
        store_loss.export(world.context, tmp_path / "out")


def test_another_directory_may_have_configured_the_new_store(world: World, tmp_path: Path) -> None:
    world.held, stack = [AWAY], world.context.stack
    create(world, PneumoError("another terraform holds the state", code=Exit.LOCKED))
    with pytest.raises(PneumoError, match="it is silent"):
        store_loss.export(world.context, tmp_path / "out")
    create(world)
    state = stack.terraform / ".terraform" / "terraform.tfstate"
    state.parent.mkdir(parents=True)
    state.write_text(json.dumps({"backend": {"type": "s3", "config": {"bucket": "shared"}}}))
    with pytest.raises(PneumoError, match="it is silent"):
        store_loss.export(world.context, tmp_path / "out")
    state.unlink()
    (stack.directory / new_store.FILE).write_text("{")
    with pytest.raises(PneumoError, match="it is silent"):
        store_loss.export(world.context, tmp_path / "out")


def test_a_stack_that_another_directory_made_is_named_in_the_hint(world: World, tmp_path: Path) -> None:
    world.held = [AWAY]
    for name in ("aws.json", "inventory.json"):
        (world.context.stack.directory / name).unlink()
    with pytest.raises(PneumoError, match="it is silent") as error:
        store_loss.export(world.context, tmp_path / "out")
    assert error.value.hint.startswith("pneumoctl teardown where the stack was made, or restore /")


def test_an_api_that_was_never_installed_stored_nothing(world: World, tmp_path: Path) -> None:
    world.held = [NothingStored("nothing was ever stored on app-0")]
    assert store_loss.export(world.context, tmp_path / "out") is None
    assert store_loss.described(world.context, REPLACED) == ""
    store_loss.secure(world.context, REPLACE, False)
    world.held = [AWAY]  # the bastion was destroyed by a teardown that was killed then
    assert store_loss.export(world.context, tmp_path / "out") is None
