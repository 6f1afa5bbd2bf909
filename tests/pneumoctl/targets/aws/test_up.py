"""`up` stops uploads only while terraform changes the stack: they go on before the hosts are configured."""

from types import SimpleNamespace
from typing import Any

import pytest

from pneumoctl.accounts.first_admin import FirstAdmin
from pneumoctl.aws.terraform import recovery
from pneumoctl.errors import PneumoError
from pneumoctl.targets.aws import up
from pneumoctl.targets.aws.configuration import change
from pneumoctl.targets.aws.provisioning import gpu_placement, provision, ssh_key
from pneumoctl.targets.aws.store import new_store, stack_secrets, wanted_imports
from tests.pneumoctl.targets.aws.store.configured_store import APP, CREATE, OTHERS, REPLACE, World


@pytest.fixture
def exported(world: World, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    """A stack whose host of the store will be replaced, and whose `up` records its steps beside those of uploads."""
    world.export(world.context.stack, None, tmp_path / "out")
    (tmp_path / "plan").write_bytes(b"plan")
    saved = SimpleNamespace(addresses=(), no_op=False, path=tmp_path / "plan")
    monkeypatch.setattr(up, "_prepare", lambda *_: world.context)
    monkeypatch.setattr(provision, "save_plan", lambda _: saved)
    monkeypatch.setattr(up, "_show", lambda *_: (SimpleNamespace(changes=REPLACE), None))
    monkeypatch.setattr(ssh_key, "refuse_unless_accepted", lambda _: None)
    monkeypatch.setattr(stack_secrets, "refuse_loss", lambda *_: None)
    monkeypatch.setattr(provision, "foreign_rules", lambda _: [])
    monkeypatch.setattr(gpu_placement, "apply", lambda *_: apply(world))
    monkeypatch.setattr(recovery, "remove_foreign_rules", lambda *_: None)
    monkeypatch.setattr(provision, "wait_until_ready", lambda _: world.context.stack.hosts())
    monkeypatch.setattr(stack_secrets, "read_back", lambda *_, **__: None)
    monkeypatch.setattr(provision, "stop_training_hosts", lambda _: world.told.append(("train", "stop")))
    monkeypatch.setattr(change, "change", lambda *_: world.told.append(("all", "change")) or {"changed": []})
    monkeypatch.setattr(wanted_imports, "import_all", lambda _: None)
    monkeypatch.setattr(up, "_make_first_admin", lambda *_: FirstAdmin())
    monkeypatch.setattr(up, "_report", lambda *_: "report")
    return world


def apply(world: World) -> None:
    world.told.append(("all", "apply"))
    world.instances = [OTHERS[0]]


def run(world: World) -> None:
    up.up(world.context.settings, world.context.stack, agreed=True, dry_run=False)


def test_uploads_go_on_before_the_hosts_are_configured(exported: World) -> None:
    run(exported)
    after = exported.told[exported.told.index(("all", "apply")) :]
    assert after == [("all", "apply"), ("train", "stop"), ("web-0", "start"), ("all", "change")]


def test_uploads_go_on_after_a_failed_apply(exported: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise PneumoError("the state is locked")

    monkeypatch.setattr(gpu_placement, "apply", fails)
    with pytest.raises(PneumoError, match="the state is locked"):
        run(exported)
    assert {name for name, verb in exported.told if verb == "start"} == {APP.name, *(other.name for other in OTHERS)}


def test_it_records_the_host_of_the_store_that_it_created_though_it_then_failed(
    exported: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        exported.instances = [APP]
        raise PneumoError("no capacity for app-1")

    exported.instances = []
    monkeypatch.setattr(up, "_show", lambda *_: (SimpleNamespace(changes=CREATE), None))
    monkeypatch.setattr(gpu_placement, "apply", fails)
    with pytest.raises(PneumoError, match="no capacity"):
        run(exported)
    assert new_store.never_configured(exported.context, APP)
