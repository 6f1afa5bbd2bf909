"""Run records and receipts: written atomically, readable after teardown, with the cost of every attempt."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Receipt, Run
from pneumoctl.stack.stack import Stack

AT = datetime(2026, 11, 23, 6, 15, tzinfo=UTC)


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack("t", tmp_path / "t")


def run(id: str = "20261123-061500-a1b2", **more: object) -> Run:
    return Run(id, "t", "gpu", runs.format_time(AT), ["--epochs", "2"], 1800, 7200, **more)  # type: ignore[arg-type]


def test_a_record_is_read_as_it_was_written(stack: Stack) -> None:
    record = run(instance="i-1", max_cost_usd=2.5).with_phase("armed", AT)
    runs.save(stack, record)
    assert runs.load(stack, record.id) == record and record.phase == "armed"
    assert (stack.directory.with_name("t.runs") / record.id / "record.json").stat().st_mode & 0o777 == 0o600


def test_it_does_not_lie_in_the_stack_s_directory_which_teardown_removes(stack: Stack) -> None:
    runs.save(stack, run())
    assert not stack.exists and runs.load_all(stack) == [run()]


def test_a_name_sorts_by_time_and_no_other_is_taken(stack: Stack) -> None:
    first, second = runs.new_id(AT), runs.new_id(AT + timedelta(seconds=1))
    assert runs.ID.fullmatch(first) and first < second and len(first) == 20
    for wrong in ("../../etc", "20261123-061500-zzzz", ""):
        with pytest.raises(PneumoError, match="is not a run id") as caught:
            runs.run_directory(stack, wrong)
        assert caught.value.code == Exit.USAGE


def test_a_run_is_open_until_its_last_attempt_has_a_receipt(stack: Stack) -> None:
    first = run()
    runs.save(stack, first)
    assert runs.list_open(stack) == [first]
    runs.save_receipt(stack, Receipt(first.id, 9, "deadline", usd=1.0))
    assert runs.list_open(stack) == []
    again = run(attempt=2)
    runs.save(stack, again)
    assert runs.list_open(stack) == [again]
    runs.save_receipt(stack, Receipt(first.id, 0, "done", usd=0.5, attempt=2))
    final = runs.final_receipt(stack, again)
    assert final and final.why == "done" and [first["why"] for first in final.earlier] == ["deadline"]
    runs.save_receipt(stack, Receipt(first.id, 0, "done", usd=0.6, attempt=2))
    final = runs.final_receipt(stack, again)
    assert final and final.usd == 0.6 and len(final.earlier) == 1


def test_a_run_without_a_confirmed_stop_is_still_open(stack: Stack) -> None:
    first = run()
    runs.save(stack, first)
    runs.save_receipt(stack, Receipt(first.id, 7, "interrupted", schedule="kept"))
    assert runs.list_open(stack) == [first] and not runs.is_closed(stack, first)
    runs.save_receipt(stack, Receipt(first.id, 8, "stopped", guard="unit", stopped="2026-11-23T07:15:00+00:00"))
    final = runs.final_receipt(stack, first)
    assert runs.list_open(stack) == [] and final and final.guard == "unit" and final.earlier == []


def test_the_bill_is_by_ec2_s_times_and_at_least_a_minute() -> None:
    hour = runs.billing_figures(AT, AT + timedelta(hours=1), 1.006)
    assert hour == {
        "started": "2026-11-23T06:15:00+00:00",
        "stopped": "2026-11-23T07:15:00+00:00",
        "billed_s": 3600,
        "usd": 1.006,
    }
    assert runs.billing_figures(AT, AT + timedelta(seconds=6), 3.6)["usd"] == 0.06
    assert runs.billing_figures(AT, AT + timedelta(hours=1), None)["usd"] is None
    assert runs.billing_figures(AT, None, 1.0)["stopped"] is None
    assert runs.billing_figures(None, AT, 1.0) == {"started": None, "stopped": None}


def test_a_damaged_record_is_reported_and_a_newer_one_read(stack: Stack) -> None:
    runs.save(stack, run())
    file = runs.run_directory(stack, run().id) / "record.json"
    file.write_text(file.read_text().replace('"stall_s"', '"of_tomorrow": 1, "stall_s"'))
    assert runs.load(stack, run().id) == run()
    file.write_text("{")
    with pytest.raises(PneumoError, match="is damaged"):
        runs.load(stack, run().id)
    with pytest.raises(PneumoError, match="has no run"):
        runs.load(stack, "20261123-061500-ffff")
