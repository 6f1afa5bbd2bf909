"""Uploads are stopped only while it is certain that the host of the store is destroyed next."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pneumoctl.aws.ec2 import Instance
from pneumoctl.errors import PneumoError
from pneumoctl.plan.transport import Output
from pneumoctl.results import final_export, transfer
from pneumoctl.ssh.connections import Unreachable
from pneumoctl.stack.inventory import Host
from pneumoctl.targets.aws.provisioning import provision
from pneumoctl.targets.aws.store import resume_uploads, store_loss
from pneumoctl.terminal.console import Console
from tests.pneumoctl.targets.aws.store.configured_store import APP, AWAY, HELD, OTHERS, REPLACE, UPLOADS, World


@pytest.fixture
def exported(world: World, tmp_path: Any) -> World:
    """A stack whose results an export holds, so that `up` may replace the host of the store."""
    world.export(world.context.stack, None, tmp_path / "out")
    return world


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was warned about."""
    shown = list[str]()
    monkeypatch.setattr(Console, "warn", lambda _, text: shown.append(text))
    return shown


def told(world: World, verb: str) -> set[str]:
    return {name for name, each in world.told if each == verb}


@pytest.mark.parametrize("failure", [PneumoError("the state is locked"), KeyboardInterrupt()])
def test_uploads_go_on_if_the_change_fails(exported: World, failure: BaseException) -> None:
    with pytest.raises(type(failure)), store_loss.secured(exported.context, REPLACE, False):
        assert told(exported, "stop") == UPLOADS and not told(exported, "start")
        raise failure
    assert told(exported, "start") == UPLOADS


def test_after_the_change_uploads_go_on_where_the_host_still_exists(exported: World) -> None:
    with store_loss.secured(exported.context, REPLACE, False):
        exported.instances = [replace(APP, id="i-new"), *OTHERS]
    assert told(exported, "start") == UPLOADS - {"app-0"}


@pytest.mark.parametrize(("state", "stays"), [("running", False), ("shutting-down", True)])
def test_the_import_stays_wanted_unless_the_store_was_left_alone(exported: World, state: str, stays: bool) -> None:
    with pytest.raises(PneumoError), store_loss.secured(exported.context, REPLACE, False):
        exported.instances = [replace(APP, state=state), *OTHERS]
        raise PneumoError("the state is locked")
    assert bool(transfer.wanted(exported.context.stack)) == stays


def test_an_import_that_is_still_wanted_is_not_replaced_by_another(exported: World, tmp_path: Path) -> None:
    stack = exported.context.stack
    (tmp_path / "earlier").mkdir()
    transfer.want_import(stack, tmp_path / "earlier", "what the new store lacks")
    with pytest.raises(PneumoError), store_loss.secured(exported.context, REPLACE, False):
        assert len(transfer.wanted(stack)) == 2
        raise PneumoError("the state is locked")
    assert transfer.wanted(stack) == [tmp_path / "earlier"]


def test_nothing_is_started_that_was_not_stopped(world: World) -> None:
    with store_loss.secured(world.context, (), False):
        pass
    assert world.told == []


def test_uploads_stay_stopped_while_a_terraform_that_was_left_may_destroy_the_store(
    exported: World, warnings: list[str]
) -> None:
    run = SimpleNamespace(command="terraform apply", pid=12)
    terraform: Any = SimpleNamespace(current=run)
    exported.context = replace(exported.context, terraform=terraform)
    with pytest.raises(KeyboardInterrupt), store_loss.secured(exported.context, REPLACE, False):
        raise KeyboardInterrupt
    assert not told(exported, "start")
    (warning,) = warnings
    assert "until the next pneumoctl up: terraform apply (process 12) still changes the stack" in warning


@pytest.mark.parametrize("failure", [PneumoError("the host key of web-0 changed"), KeyboardInterrupt()])
def test_uploads_go_on_if_stopping_them_is_interrupted(exported: World, failure: BaseException) -> None:
    exported.failing["web-0", "stop"] = failure
    with pytest.raises(KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else PneumoError):
        store_loss.secure(exported.context, REPLACE, False)
    assert told(exported, "start") == UPLOADS


SILENT = Unreachable(Host("web-0", "web", "10.20.1.2"), "login", "silent")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (SILENT, r"web-0 \(10.20.1.2\): login: silent"),
        (Output(0, "inactive\n\ndeactivating\n", ""), "web-0: inactive, deactivating"),
        (Output(0, "inactive\n\nactive\n", "Job failed"), "web-0: Job failed"),
        (Output(0, "inactive\n", ""), "web-0: inactive"),
        (Output(124, "", "did not end within 90 s"), "web-0: did not end"),
        (Output(255, "inactive\n\ninactive\n", ""), "web-0: inactive"),
    ],
)
def test_the_store_is_not_replaced_while_uploads_may_go_on(
    exported: World, tmp_path: Any, warnings: list[str], answer: Any, reason: str
) -> None:
    exported.failing["web-0", "stop"] = answer
    with pytest.raises(store_loss.LosesResults, match=rf"because uploads may go on \({reason}.*Nothing was changed"):
        store_loss.secure(exported.context, REPLACE, False)
    assert told(exported, "start") == UPLOADS
    assert store_loss.export(exported.context, tmp_path / "teardown") is not None  # a teardown only warns
    assert len(warnings) == 1 and "uploads may go on, on web-0" in warnings[0]


def test_a_host_that_does_not_exist_takes_no_uploads(exported: World) -> None:
    exported.failing["web-0", "stop"] = SILENT
    del exported.instances[1]
    store_loss.secure(exported.context, REPLACE, False)


def test_a_store_that_is_off_is_started_before_it_is_copied(exported: World, monkeypatch: pytest.MonkeyPatch) -> None:
    exported.instances[0] = replace(APP, state="stopped")

    def boot(_: object) -> None:
        assert not exported.told
        exported.instances[0] = APP

    monkeypatch.setattr(provision, "boot_stopped_hosts", boot)
    store_loss.secure(exported.context, REPLACE, False)
    assert told(exported, "stop") == UPLOADS


def test_the_hint_of_what_failed_comes_first(world: World) -> None:
    world.held = [AWAY]
    with pytest.raises(store_loss.LosesResults) as error:
        store_loss.secure(world.context, REPLACE, False)
    assert error.value.hint.startswith("pneumoctl status; or: pneumoctl results export PATH")


def test_a_result_that_came_in_while_the_copy_was_made_is_not_lost(exported: World) -> None:
    exported.held = [HELD, replace(HELD, contents="one more")]
    with pytest.raises(
        store_loss.LosesResults,
        match="results were added or erased on app-0, or have expired, after they were exported",
    ):
        store_loss.secure(exported.context, REPLACE, False)
    assert transfer.wanted(exported.context.stack) == [] and told(exported, "start") == UPLOADS


def test_a_host_that_cannot_be_told_does_not_keep_the_others_stopped(exported: World, warnings: list[str]) -> None:
    away: Sequence[PneumoError] = (PneumoError("its key changed"), Unreachable(Host("app-1", "app"), "login", "silent"))
    exported.failing |= {("web-0", "start"): away[0], ("app-1", "start"): away[1]}
    with store_loss.secured(exported.context, REPLACE, False):
        pass
    assert told(exported, "start") == UPLOADS and len(warnings) == 2
    refused = "web-0 takes no uploads: they could not be started again: its key changed; next: pneumoctl up"
    assert refused in warnings


def test_uploads_go_on_after_a_teardown_that_failed_before_it_destroyed_anything(world: World, tmp_path: Any) -> None:
    others = [replace(APP, id=f"i-{number}", name=name) for number, name in ((0, "nginx"), (1, "monitoring"))]
    doomed = ["aws_instance.host[0]", "aws_route.world"]

    def left(*addresses: str) -> Any:
        made = [SimpleNamespace(address=address) for address in addresses]
        return replace(world.context, terraform=SimpleNamespace(current=None, resources=lambda: made))

    store_loss.export(world.context, tmp_path / "out")
    resume_uploads.resume_unless_destroyed(left(*doomed), doomed)  # nginx is gone: nobody could upload
    world.instances += others
    resume_uploads.resume_unless_destroyed(left(doomed[0]), doomed)  # the hosts may be out of reach without that route
    assert not told(world, "start") and final_export.holds_all(world.context.stack)
    resume_uploads.resume_unless_destroyed(left(*doomed), doomed)
    assert told(world, "start") == UPLOADS and not final_export.holds_all(world.context.stack)


def test_uploads_stay_stopped_while_it_is_not_known_what_a_teardown_destroyed(
    world: World, tmp_path: Any, warnings: list[str]
) -> None:
    def instances(_: str) -> list[Instance]:
        raise PneumoError("EC2 does not answer")

    store_loss.export(world.context, tmp_path / "out")
    aws: Any = SimpleNamespace(instances=instances)
    resume_uploads.resume_unless_destroyed(replace(world.context, aws=aws), [])
    assert not told(world, "start") and warnings == ["uploads stay stopped: EC2 does not answer"]
