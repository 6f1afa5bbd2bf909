"""The host of the store is not destroyed before its results are exported, or unless it can hold none."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pneumoctl.aws.ec2 import Instance
from pneumoctl.aws.terraform.plan_json import Change
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.plan.transport import Output
from pneumoctl.results import final_export, transfer
from pneumoctl.results.transfer import NothingStored, Summary
from pneumoctl.ssh import remote_command
from pneumoctl.ssh.connections import LoginRefused, Unreachable
from pneumoctl.stack import inventory
from pneumoctl.stack.free_space import NotWritten
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.stack import Cloud, Stack
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.store import backups, new_store, results, stack_secrets, store_loss, wanted_imports
from pneumoctl.targets.common.keep import keep
from tests.pneumoctl.examples import HOSTS_OUTPUT, aws_context

APP = Instance("i-3", "app-0", "app", "running", "t3.medium", datetime.now(UTC), "10.20.1.3", "")
OTHERS = [
    replace(APP, id=f"i-{number}", name=name, role=role)
    for number, name, role in ((2, "web-0", "web"), (4, "app-1", "app"))
]
HELD = Summary({"results": 3, "pictures": 2, "reviews": 1}, "digest")
HELD_INTACT = Summary({**HELD.counts, "damaged": 0}, HELD.contents)
UPLOADS = {"web-0", "app-0", "app-1"}
AWAY_HOST = inventory.Host("app-0", "app")
AWAY = Unreachable(AWAY_HOST, "SSH handshake", "it is silent")
EMPTY = Summary({"results": 0, "pictures": 0, "reviews": 0}, "empty")
REPLACED = (store_loss.ADDRESS,)
REPLACE = (Change(store_loss.ADDRESS, "aws_instance", "replace", {}, {}),)
CREATE = (replace(REPLACE[0], action="create"),)


@dataclass
class World:
    """A configured stack, and what its store answers."""

    context: Context
    instances: list[Instance] = field(default_factory=lambda: [APP, *OTHERS])
    held: list[Summary | PneumoError] = field(default_factory=lambda: [HELD])  # the last one stays
    told: list[tuple[str, str]] = field(default_factory=list)  # (host, verb of systemctl)
    backup: tuple[Path, Summary] | PneumoError | None = None
    failing: dict[tuple[str, str], BaseException | Output] = field(default_factory=dict)  # (host, verb) -> the failure

    def count(self, _: object) -> Summary:
        answer = self.held[0] if len(self.held) == 1 else self.held.pop(0)
        if isinstance(answer, PneumoError):
            raise answer
        return answer

    def export(self, stack: Stack, store: object, target: Path) -> Summary:
        held = self.count(store)
        target.mkdir(parents=True)
        stack.write(
            transfer.LAST, {"path": str(target), "contents": held.contents, "counts": {"damaged": 0, **held.counts}}
        )
        return replace(held, counts={"damaged": 0, **held.counts})

    def tell(self, _: object, host: inventory.Host, argv: tuple[str, ...], timeout: float) -> Output:
        self.told.append((host.name, "start" if "start" in argv else "stop"))
        failure = self.failing.get(self.told[-1], Output(0, "inactive\n\nfailed\n", ""))
        if isinstance(failure, BaseException):
            raise failure
        return failure

    def fetch(self, context: Context, folder: Path) -> tuple[Path, Summary] | None:
        if isinstance(self.backup, PneumoError):
            raise self.backup
        return self.backup

    @contextmanager
    def opened(self, stack: Stack) -> Iterator[Any]:
        yield SimpleNamespace(connections=SimpleNamespace(to=self.connect), machine=None, host="app-0")

    def connect(self, _: object) -> None:
        if isinstance(self.held[0], Unreachable):
            raise self.held[0]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A stack whose app-0 was configured."""
    stack = Stack("t", tmp_path / "t")
    made = World(replace(aws_context(None), stack=stack))
    made.context = replace(made.context, aws=SimpleNamespace(instances=lambda _: made.instances))
    monkeypatch.setattr(stack_secrets, "read_back", lambda *_, **__: None)
    stack.save_cloud(Cloud("eu-west-1", "", "1", "b"))
    stack.save_hosts(inventory.from_outputs(HOSTS_OUTPUT, "198.51.100.1"))
    monkeypatch.setattr(results, "opened", made.opened)
    monkeypatch.setattr(transfer, "count", made.count)
    monkeypatch.setattr(transfer, "require_space", lambda *_: None)
    monkeypatch.setattr(transfer, "export", made.export)
    monkeypatch.setattr(remote_command, "run", made.tell)
    monkeypatch.setattr(backups, "make", lambda _: made.told.append(("app-0", "back up")))
    monkeypatch.setattr(backups, "fetch", made.fetch)
    monkeypatch.setattr(transfer, "exported", lambda stack, held: _fresh(stack, held))
    return made


def _fresh(stack: Stack, held: Summary) -> Summary | None:
    saved = transfer.last_export(stack)
    return Summary(saved["counts"], held.contents) if saved and saved["contents"] == held.contents else None


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


def create(world: World, error: PneumoError | None = None) -> None:
    """Have `up` create app-0, or fail after that."""
    world.instances = []
    with suppress(PneumoError), new_store.recorded(world.context, CREATE):
        world.instances = [APP]
        if error:
            raise error


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


def test_a_host_that_is_being_deleted_does_not_hide_the_one_in_its_place(world: World, tmp_path: Path) -> None:
    world.instances = [APP, replace(APP, id="i-0", state="shutting-down")]
    assert store_loss.export(world.context, tmp_path / "out") == HELD_INTACT


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

    (line,) = lines("replace")
    assert line.endswith("a backup holds them: 3 results, 2 pictures, 1 review on app-0")
    assert lines("update") == [] == lines("replace", 'aws_instance.host["web-0"]')
    world.export(world.context.stack, None, tmp_path / "o u t")
    world.instances = []
    (line,) = lines("create")
    assert line.endswith(f"imports the newest backup, if there is one; your last export: '{tmp_path}/o u t'")


UNKEPT = replace(HELD_INTACT, unkept=("0123456789abcdef",))
KEY = "sealed with MAC key 0123456789abcdef, which is not on this machine"


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


def test_purge_and_results_only_contradict() -> None:
    assert (keep(False, False), keep(True, False), keep(False, True)) == ("everything", "nothing", "results")
    with pytest.raises(PneumoError) as error:
        keep(True, True)
    assert error.value.code == Exit.USAGE


def test_the_inventory_and_the_address_name_the_same_host() -> None:
    hosts = inventory.from_outputs(HOSTS_OUTPUT, "198.51.100.1")
    assert json.dumps(hosts.store.name) in store_loss.ADDRESS
