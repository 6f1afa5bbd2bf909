"""The plan says how many results a limit of days erases, or that it is not known."""

import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

import pytest

from pneumoctl.plan.steps import Step
from pneumoctl.results import expiring
from pneumoctl.results.transfer import NothingStored
from pneumoctl.stack.settings import Settings, erases
from pneumoctl.targets.aws.configuration.preview import Preview
from pneumoctl.targets.local import plan
from tests.pneumoctl.results.conftest import StackWithStore
from tests.webapp.api.records import put, record
from tests.webapp.servers import RedisServer
from webapp.api.storage.errors import StoreUnavailable
from webapp.api.storage.records import Record

MONTH = Settings(retention_days=30)
TODO = [Step(f"Serve the API{erases(MONTH)}", ("app-0",), ())]


def made_ago(number: int, days: float) -> Record:
    made = record(number)
    made.prediction["created"] = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    return made


@pytest.fixture
def made(stack_of: Callable[..., StackWithStore]) -> StackWithStore:
    return stack_of("t")


def lines(made: StackWithStore, settings: Settings = MONTH, todo: list[Step] = TODO) -> list[str]:
    return expiring.lines(settings, todo, lambda: nullcontext(made.reached))


def test_the_results_that_a_limit_erases_are_counted(made: StackWithStore) -> None:
    assert lines(made) == ["no stored result is older than 30 days now"]
    put(made.store, made_ago(1, 29), made_ago(2, 31))
    assert lines(made) == ["1 result older than 30 days is erased for good"]
    put(made.store, made_ago(3, 400))
    assert lines(made) == ["2 results older than 30 days are erased for good"]
    assert lines(made, Settings()) == lines(made, todo=[]) == []


def test_a_store_that_cannot_be_asked_is_told(made: StackWithStore, server: RedisServer) -> None:
    server.kill()
    (line,) = lines(made)
    assert line.startswith("results older than 30 days are erased for good; how many is not known: the store on this m")


def test_a_preview_on_aws_says_it_in_its_text_and_its_document() -> None:
    shown = Preview(("step",), ("difference",), {}, {}, ("2 results are erased",))
    assert shown.lines == ("step", "2 results are erased", "difference")
    assert shown.document()["erased"] == ["2 results are erased"]


def test_a_preview_on_this_machine_reads_the_store_once(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = Mock(erased=Mock(return_value=["2 results are erased"]))
    prepared.with_erased.side_effect = lambda todo, erased: ["step", *erased]
    monkeypatch.setattr(plan, "prepare", lambda *_: prepared)
    monkeypatch.setattr(plan, "differences", lambda *_: [])
    prepared.changes.return_value = []
    shown = plan.report(MONTH, Mock())
    assert shown.document["erased"] == ["2 results are erased"] == list(shown.blocks)[1:2]
    prepared.erased.assert_called_once()


def test_where_nothing_was_ever_stored_nothing_is_said(made: StackWithStore) -> None:
    def nothing() -> nullcontext[StackWithStore]:
        raise NothingStored("nothing was ever stored")

    assert expiring.lines(MONTH, TODO, nothing) == []


def test_a_redis_that_hangs_is_given_up_soon(
    made: StackWithStore, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.api.storage.connection.HUNG_SECONDS", 0.5)
    assert server.process
    server.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="does not answer in time"):
            made.store.wait(600)
        assert time.monotonic() - began < 60
    finally:
        server.process.send_signal(signal.SIGCONT)
