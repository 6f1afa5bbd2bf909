"""`pneumoctl results erase`, on a real store: what is erased, what is said, and with which exit code."""

import os
import signal
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from unittest.mock import Mock

import pytest
import redis

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.results import archive, erasure, import_report, transfer
from pneumoctl.results.transfer import ResultStore
from pneumoctl.stack import audit
from pneumoctl.terminal.console import console
from tests.pneumoctl.command_documents import document_of
from tests.pneumoctl.results.conftest import StackWithStore
from tests.templates.running import until
from tests.webapp.api.records import put, record, settings
from tests.webapp.servers import PASSWORD, RedisServer
from webapp.api.storage.errors import Missing
from webapp.api.storage.records import Record
from webapp.api.storage.rewriting import rewrite

ONE, TWO, NONE = record(1).id, record(2).id, "f" * 32
WHOLE = {"reason": None, "still_in_file": None}


@pytest.fixture
def made(stack_of: Callable[..., StackWithStore], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StackWithStore:
    """A stack with two results, which the commands reach."""
    made = stack_of("t")
    put(made.store, record(1), record(2))
    reach = SimpleNamespace(results=lambda: nullcontext(made.reached))
    monkeypatch.setattr("pneumoctl.cli.results.target", lambda *_: reach)
    monkeypatch.setenv("PNEUMO_STACK", "t")
    monkeypatch.chdir(tmp_path)
    return made


def test_results_are_erased_and_the_record_of_it_names_them(
    made: StackWithStore, capsys: pytest.CaptureFixture[str]
) -> None:
    document = document_of(capsys, "results", "erase", ONE.upper(), ONE, "-y")
    assert document == {"stack": "t", "erased": [ONE], "before": [], "unknown": [], "failed": [], **WHOLE}
    with pytest.raises(Missing):
        made.store.get(ONE)
    assert made.store.get(TWO) == record(2)
    assert document_of(capsys, "results", "erase", ONE, "-y")["before"] == [ONE]
    ended = [entry for entry in audit.chain(made.stack).entries() if entry["event"] == "ended"]
    assert [(entry["command"], entry["code"], entry["changed"]) for entry in ended] == [
        ("results erase", 0, [f"erased {ONE}"]),
        ("results erase", 0, []),
    ]


def test_without_the_secrets_nothing_is_begun(made: StackWithStore, capsys: pytest.CaptureFixture[str]) -> None:
    (made.stack.directory / "secrets.json").unlink()
    document_of(capsys, "results", "erase", ONE, "-y", code=Exit.FAILED)
    assert made.store.get(ONE) == record(1)
    assert not list(audit.chain(made.stack).entries())


def test_what_is_erased_is_not_left_in_the_file_of_redis(
    made: StackWithStore, server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    gone, kept = record(3), record(4)
    pictures = {each.id: os.urandom(4096) for each in (gone, kept)}  # nothing that Redis could compress
    for each in (gone, kept):
        made.store.put(each, pictures[each.id])
    assert all(picture in files(server) for picture in pictures.values())
    document_of(capsys, "results", "erase", gone.id, "-y")
    until(lambda: pictures[gone.id] not in files(server))  # Redis removes replaced files in the background
    assert pictures[kept.id] in files(server)


def test_a_file_that_cannot_be_written_anew_is_told_and_erasing_again_tries_again(
    made: StackWithStore, server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.client().execute_command("ACL", "DELUSER", "rewriter")  # as in a stack of an earlier version
    document = document_of(capsys, "results", "erase", ONE, "-y", code=Exit.PARTLY)
    assert (document["erased"], document["still_in_file"]) == ([ONE], "Redis rejects the login")
    server.client().acl_load()
    document = document_of(capsys, "results", "erase", ONE, "-y")
    assert (document["before"], document["still_in_file"]) == ([ONE], None)
    assert server.client().info("persistence")["aof_rewrites"] == 1


def files(server: RedisServer) -> bytes:
    """All that Redis has on the disk."""
    found = b""
    for path in sorted((server.directory / "data").rglob("*")):
        with suppress(FileNotFoundError, IsADirectoryError):
            found += path.read_bytes()
    return found


def test_ids_without_a_result_are_named(made: StackWithStore, capsys: pytest.CaptureFixture[str]) -> None:
    error = document_of(capsys, "results", "erase", NONE, "-y", code=Exit.FAILED)["error"]
    assert NONE in error["message"] and error["unknown"] == [NONE] and error["hint"]
    document = document_of(capsys, "results", "erase", NONE, TWO, "-y", code=Exit.PARTLY)
    lists = {"erased": [TWO], "before": [], "unknown": [NONE], "failed": []}
    assert document == {"stack": "t", **lists, **WHOLE}


def test_a_store_that_fails_midway_says_what_is_erased_and_what_is_left(
    made: StackWithStore, server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    three, record_of_two = record(3).id, f"pneumo:1:record:{TWO}"
    put(made.store, record(3))
    server.client().delete(record_of_two)
    server.client().rpush(record_of_two, "not a record")  # Redis refuses to read it as one
    document = document_of(capsys, "results", "erase", ONE, TWO, three, "-y", code=Exit.PARTLY)
    assert "erasing failed: Redis refuses the command" in document.pop("reason")
    assert document.pop("still_in_file") == "the store failed"
    assert document == {"stack": "t", "erased": [ONE], "before": [], "unknown": [], "failed": [TWO, three]}
    (ended,) = [entry for entry in audit.chain(made.stack).entries() if entry["event"] == "ended"]
    assert (ended["code"], ended["changed"]) == (Exit.PARTLY, [f"erased {ONE}"])
    error = document_of(capsys, "results", "erase", TWO, three, "-y", code=Exit.FAILED)["error"]
    assert "erasing failed: Redis refuses the command" in error["message"]
    assert made.store.get(three) == record(3)


def test_the_record_names_the_results_also_if_it_is_not_known_what_became_of_them(
    made: StackWithStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(erasure, "erase", Mock(side_effect=PneumoError("the connection broke", "try again")))
    document_of(capsys, "results", "erase", ONE, TWO, "-y", code=Exit.FAILED)
    entries = audit.chain(made.stack).entries()
    assert [(entry["event"], entry["options"], entry.get("changed")) for entry in entries] == [
        ("begun", {"ids": f"{ONE} {TWO}"}, None),
        ("ended", {"ids": f"{ONE} {TWO}"}, None),
    ]


@pytest.mark.parametrize(
    "cut", [Mock(return_value=(255, "Connection closed")), Mock(side_effect=PneumoError("no answer", "try again"))]
)
def test_an_erasure_that_was_cut_off_does_not_say_that_nothing_is_erased(made: StackWithStore, cut: Mock) -> None:
    with pytest.raises(PneumoError, match=r"; which of the results are erased is not known$") as caught:
        erasure.erase(cast(ResultStore, SimpleNamespace(host="app-0", run=cut)), [ONE], "", "tests")
    assert caught.value.hint.endswith("; then erase them again: what is erased stays erased")


def test_where_nothing_was_ever_stored_nothing_is_said_to_be_erased(made: StackWithStore) -> None:
    nothing = Mock(return_value=(transfer.NOTHING, ""))
    with pytest.raises(transfer.NothingStored):
        erasure.erase(cast(ResultStore, SimpleNamespace(host="app-0", run=nothing)), [ONE], "", "tests")


def test_nothing_is_erased_without_a_yes_or_with_a_wrong_id(
    made: StackWithStore, capsys: pytest.CaptureFixture[str]
) -> None:
    cancelled = document_of(capsys, "results", "erase", ONE, code=Exit.FAILED)["error"]
    assert cancelled["message"].startswith("cancelled: nothing was erased; it would erase 1 result of stack t")
    for wrong in ("a.png", ONE[:-1], f"{ONE}0", "../record"):
        error = document_of(capsys, "results", "erase", TWO, wrong, "-y", code=Exit.USAGE)["error"]
        assert wrong in error["message"]
    assert {made.store.get(each.id) == each for each in (record(1), record(2))} == {True}


def test_a_store_that_cannot_be_used_is_an_error_without_a_half(made: StackWithStore) -> None:
    made.reached.environment.write_text("REDIS_PORT=1\n")
    with pytest.raises(Exception, match="cannot be used: erasing failed: "):
        erasure.erase(made.reached, [ONE], "", "tests")


def test_an_export_made_later_lacks_what_was_erased_and_an_earlier_one_says_what_it_brings_back(
    made: StackWithStore, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    questions: list[str] = []
    monkeypatch.setattr(console, "ask", questions.append)
    earlier, later = tmp_path / "earlier.tar", tmp_path / "later.tar"
    transfer.export(made.stack, made.reached, earlier)
    document_of(capsys, "results", "erase", ONE, "-y")
    assert transfer.export(made.stack, made.reached, later).counts["results"] == 1
    assert PICTURE_NAME not in later.read_bytes() and PICTURE_NAME in earlier.read_bytes()
    assert document_of(capsys, "results", "import", str(later), "-y")["brought_back"] == []
    document_of(capsys, "results", "import", str(earlier), code=Exit.FAILED)
    asked = [question for question in questions if "would come back" in question]
    assert asked == [f"Add 2 results, 2 pictures, 0 reviews to the store of stack t? {BACK}"]
    folder = tmp_path / "folder"
    transfer.export(made.stack, made.reached, folder)
    assert archive.result_ids(folder) == {TWO} and archive.result_ids(earlier) == {ONE, TWO}
    assert erasure.erased(made.reached) == {ONE}
    done = document_of(capsys, "results", "import", str(earlier), "-y")
    assert erasure.erased(made.reached) == set()
    assert (done["added"], done["brought_back"]) == (1, [ONE])
    (warning,) = import_report.warnings(done)
    assert "brought back, or reviews of them, that had been erased" in warning
    assert warning.endswith(f"; to erase again: pneumoctl results erase {ONE}")


BACK = f"1 result that had been erased would come back: {ONE}."
PICTURE_NAME = f"images/{ONE}.jpg".encode()


def test_a_redis_that_is_busy_for_some_seconds_while_it_writes_is_waited_for(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.api.storage.connection._TIMEOUT", 0.2)
    answers = redis.Redis.info
    timed_out = 0

    def stopped_until_it_timed_out(client: redis.Redis, section: str) -> object:
        nonlocal timed_out
        assert server.process
        server.process.send_signal(signal.SIGCONT if timed_out else signal.SIGSTOP)
        try:
            return answers(client, section)
        except redis.TimeoutError:
            timed_out += 1
            raise

    monkeypatch.setattr(redis.Redis, "info", stopped_until_it_timed_out)
    rewrite(settings(server.port), PASSWORD, 60)
    assert timed_out == 1
    assert answers(server.client(), "persistence")["aof_rewrites"] == 1


STUDY = "ABCDEFGHIJKL"


def of_study(number: int, study: str = STUDY) -> Record:
    """A record of a film of a study."""
    return replace(record(number), source={"folder": "ward", "study": study, "sha256": f"{number:064x}"})


def test_the_films_of_a_study_are_erased_and_the_question_names_them(
    made: StackWithStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(made.store, of_study(5), of_study(6), of_study(7, "LKJIHGFEDCBA"))
    asked: list[str] = []
    monkeypatch.setattr(console, "ask", lambda question: bool(asked.append(question)))
    document_of(capsys, "results", "erase", "--study", STUDY, code=Exit.FAILED)
    assert record(5).id in asked[0] and record(6).id in asked[0] and record(7).id not in asked[0]
    document = document_of(capsys, "results", "erase", "--study", STUDY.lower(), "-y")
    assert document["erased"] == [record(5).id, record(6).id]
    assert made.store.get(record(7).id) == of_study(7, "LKJIHGFEDCBA")
    assert made.store.get(ONE) == record(1)
    error = document_of(capsys, "results", "erase", "--study", STUDY, "-y", code=Exit.FAILED)["error"]
    assert f"no stored result is of study {STUDY}" in error["message"]


def test_damaged_records_are_told_and_not_erased_with_a_study(
    made: StackWithStore, server: RedisServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(made.store, of_study(5))
    server.client().append(f"pneumo:1:record:{ONE}", b"x")
    warned: list[str] = []
    monkeypatch.setattr(console, "warn", warned.append)
    assert document_of(capsys, "results", "erase", "--study", STUDY, "-y")["erased"] == [record(5).id]
    assert any("1 damaged record may belong to this study" in each for each in warned)
    assert server.client().exists(f"pneumo:1:record:{ONE}")


@pytest.mark.parametrize("words", [(), (ONE, "--study", STUDY), ("--study", "1.2.840"), ("--study", "")])
def test_what_names_neither_ids_nor_a_study_is_a_usage_error(
    made: StackWithStore, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    document_of(capsys, "results", "erase", *words, "-y", code=Exit.USAGE)
    assert made.store.get(ONE) == record(1)
