"""Exports are complete, verified and atomic; on a real store."""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.results import archive, mac_keys, transfer
from pneumoctl.results.mac_keys import KeysMissing
from pneumoctl.stack.documents import Damaged
from pneumoctl.stack.free_space import NotWritten
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.stack import exports
from pneumoctl.targets.local.results import LocalStore
from tests.pneumoctl.results.conftest import OTHER_KEY
from tests.pneumoctl.results.filled_stacks import REVIEW, StackOf, filled
from tests.webapp.api.records import PICTURE, record
from tests.webapp.servers import MAC_KEY, RedisServer
from webapp.api.storage.retention import Retention
from webapp.api.storage.seal import Seal, key_id
from webapp.api.storage.store_copy import StoreCopy


@dataclass
class Cut:
    """A store whose answer is cut off after some bytes, with the exit code of success."""

    whole: LocalStore
    size: int
    host: str = "app-0"

    def run(self, options: Sequence[str], stdin: Iterator[bytes], stdout: IO[bytes]) -> tuple[int, str]:
        result = self.whole.run(options, stdin, stdout)
        stdout.truncate(self.size)
        return result


def test_keys_have_the_same_ids_on_both_sides() -> None:
    assert mac_keys.key_id(MAC_KEY) == key_id(bytes.fromhex(MAC_KEY)) != mac_keys.key_id(OTHER_KEY)


@pytest.mark.parametrize("secrets", ["missing", "damaged", "older", "no hex"])
def test_an_export_whose_key_is_not_here_cannot_replace_the_store(
    stack_of: StackOf, tmp_path: Path, secrets: str
) -> None:
    made, target = filled(stack_of), tmp_path / "out"
    file = made.stack.directory / "secrets.json"
    whole = file.read_text()
    {
        "missing": file.unlink,
        "damaged": lambda: file.write_text("{"),
        "older": lambda: file.write_text(whole.replace(MAC_KEY, OTHER_KEY)),
        "no hex": lambda: file.write_text(whole.replace(MAC_KEY, "no-key")),
    }[secrets]()
    exported = transfer.export(made.stack, made.reached, target)
    assert exported.unkept == (mac_keys.key_id(MAC_KEY),)
    with pytest.raises(KeysMissing, match=f"{target} has results sealed with MAC key {mac_keys.key_id(MAC_KEY)}"):
        transfer.require_intact(replace(exported, counts={**exported.counts, "damaged": 0}), target)
    again = transfer.exported(made.stack, transfer.count(made.reached))
    assert again and again.unkept == exported.unkept
    file.write_text(whole)  # as `up --adopt` does
    again = transfer.exported(made.stack, transfer.count(made.reached))
    assert again and not again.unkept and made.kept_keys() == {mac_keys.key_id(MAC_KEY): MAC_KEY}
    transfer.require_intact(again, target)
    file.write_text(whole.replace(MAC_KEY, OTHER_KEY))  # the kept key is enough
    assert mac_keys.keep(made.stack, [mac_keys.key_id(MAC_KEY)]) == ()


def test_a_mac_key_that_is_none_is_said_without_it() -> None:
    with pytest.raises(Damaged, match="of the stack is not hexadecimal") as caught:
        mac_keys.of_stack(Secrets("a", "no-key", "c"))
    assert "no-key" not in f"{caught.value.message}{caught.value.hint}"


def test_an_export_is_no_longer_fresh_after_another_result_or_review(stack_of: StackOf, tmp_path: Path) -> None:
    made, target = filled(stack_of), tmp_path / "out"
    transfer.export(made.stack, made.reached, target)
    made.store.reviews.add(record(1).id, {**REVIEW, "label": "pneumonia"})
    assert not transfer.exported(made.stack, transfer.count(made.reached))
    transfer.export(made.stack, made.reached, tmp_path / "second")
    assert transfer.exported(made.stack, transfer.count(made.reached))
    (tmp_path / "second" / "images" / f"{record(1).id}.jpg").write_bytes(b"damaged")
    assert not transfer.exported(made.stack, transfer.count(made.reached))
    shutil.rmtree(tmp_path / "second")
    assert transfer.last_export(made.stack) is None


@pytest.mark.parametrize("ended", ["erased", "expired"])
def test_an_export_does_not_pass_for_one_of_results_that_were_sent_again(
    stack_of: StackOf, server: RedisServer, tmp_path: Path, ended: str
) -> None:
    """The same id with the same number of reviews, but another record and another review."""
    made, target = filled(stack_of), tmp_path / "out"
    transfer.export(made.stack, made.reached, target)
    again = replace(record(1), prediction=record(1).prediction | {"created": "2026-02-10T00:00:00.000Z"})
    if ended == "erased":
        made.store.eraser.erase(again.id)
        made.store.put(again, PICTURE)
    else:
        day_30 = datetime.fromisoformat("2026-02-10T00:00:00Z").timestamp()
        client = server.client()
        client.time = lambda: (int(day_30), 0)
        expiring = StoreCopy(client, Seal(bytes.fromhex(MAC_KEY)), Retention(30, lambda: day_30))
        expiring.put(again, PICTURE)
    made.store.reviews.add(again.id, {**REVIEW, "created": "2026-02-11T00:00:00.000000Z", "comment": "of today"})
    held = transfer.count(made.reached)
    assert str(held) == "2 results, 1 picture, 1 review"
    assert not transfer.exported(made.stack, held)
    assert transfer.export(made.stack, made.reached, tmp_path / "new").contents == held.contents


@dataclass
class Full:
    """A store whose export does not fit on the disk."""

    host: str = "app-0"

    def run(self, options: Sequence[str], stdin: Iterator[bytes], stdout: IO[bytes]) -> tuple[int, str]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_named_and_leaves_nothing(
    stack_of: StackOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = stack_of()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    target = exports() / "t-20260102T030405Z" / "results"
    with pytest.raises(NotWritten, match=rf"No space left on device \(.* MB are free in {target.parent}") as error:
        transfer.export(made.stack, Full(), target)
    assert "set XDG_DATA_HOME to another folder" in error.value.hint and not (tmp_path / "share").exists()


def test_the_space_is_checked_against_the_size_of_the_store(
    stack_of: StackOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = filled(stack_of)
    size = transfer.count(made.reached).size
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3 * size // 2))
    transfer.require_space(made.reached, tmp_path / "out.tar")
    for target, more in (("out", 0), ("out.tar", size)):  # a folder is unpacked from a file
        with pytest.raises(NotWritten, match="there is not enough space"):
            transfer.require_space(made.reached, tmp_path / target, more)
    monkeypatch.undo()
    transfer.export(made.stack, made.reached, tmp_path / "out.tar")
    assert (tmp_path / "out.tar").stat().st_size <= size


@pytest.mark.parametrize("name", ["out", "out.tar"])
@pytest.mark.parametrize("size", [0, 1000, 5000])
def test_a_cut_off_answer_leaves_nothing(stack_of: StackOf, tmp_path: Path, size: int, name: str) -> None:
    made, target = filled(stack_of), tmp_path / "made" / name
    with pytest.raises(PneumoError, match=r"cannot be used: .* (cut off|damaged)"):
        transfer.export(made.stack, Cut(made.reached, size), target)
    assert not target.parent.exists() and not made.kept.exists()
    assert transfer.last_export(made.stack) is None


def test_an_export_never_replaces_another_and_removes_what_a_killed_one_left(stack_of: StackOf, tmp_path: Path) -> None:
    made, target = filled(stack_of), tmp_path / "made" / "out"
    for left in (archive.partial(target), target.with_name(".out.folder") / "x"):
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_text("left")
    transfer.export(made.stack, made.reached, target)
    assert [path.name for path in target.parent.iterdir()] == ["out"]
    with pytest.raises(PneumoError, match="exists already"):
        transfer.export(made.stack, made.reached, target)


def test_a_store_that_does_not_answer_is_named(stack_of: StackOf, server: RedisServer, tmp_path: Path) -> None:
    made = filled(stack_of)
    made.reached.environment.write_text(made.reached.environment.read_text().replace("REDIS_PASSWORD=", "REDIS_X="))
    with pytest.raises(PneumoError, match=r"the store on this machine cannot be used: .*REDIS_PASSWORD is not set"):
        transfer.export(made.stack, made.reached, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_of_kept_keys_is_put_aside_by_the_next_export(stack_of: StackOf, tmp_path: Path) -> None:
    made = filled(stack_of)
    made.kept.write_text("{")
    transfer.export(made.stack, made.reached, tmp_path / "out.tar")
    assert made.kept_keys() == {mac_keys.key_id(MAC_KEY): MAC_KEY}
    assert made.kept.with_name("t.mac-keys.json.damaged").read_text() == "{"
    made.kept.unlink()
    made.kept.mkdir()  # it cannot be read, and may be intact
    with pytest.raises(PneumoError, match=r"not a readable file of MAC keys: Is a directory"):
        transfer.export(made.stack, made.reached, tmp_path / "again.tar")


def test_the_folder_above_an_export_leads_to_it(stack_of: StackOf, tmp_path: Path) -> None:
    made = filled(stack_of)
    transfer.export(made.stack, made.reached, tmp_path / "a teardown" / "results")
    with pytest.raises(PneumoError, match="is not an export, but holds one") as error:
        archive.verify(tmp_path / "a teardown")
    assert error.value.hint == f"did you mean: pneumoctl results import '{tmp_path}/a teardown/results'"
    assert error.value.code == Exit.USAGE


def test_films_without_a_result_are_counted_and_keep_a_store_from_being_removed(stack_of: StackOf) -> None:
    made = filled(stack_of)
    before = transfer.count(made.reached)
    transfer.require_scored(before)
    store = made.store
    store.queue.put(b"a film", "CR-A.dcm")
    held = transfer.count(made.reached)
    assert held.received == 1 and held == before
    with pytest.raises(PneumoError, match="1 received film without a result"):
        transfer.require_scored(held)
    claim = store.queue.claim(60, 0.01)
    assert claim is not None
    store.queue.fail(claim, "internal", "It broke.")
    assert transfer.count(made.reached).received == 1
