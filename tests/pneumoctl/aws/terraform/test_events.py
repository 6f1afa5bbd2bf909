"""Terraform's output as progress events; unexpected lines are logged and cause no error."""

import io
import json
from typing import Any

import pytest

from pneumoctl.aws.terraform.events import Diagnostic, Listener, Progress

HOST = 'aws_instance.host["web-0"]'


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def events() -> list[Progress]:
    return []


@pytest.fixture
def listener(events: list[Progress], log: io.StringIO) -> Listener:
    return Listener(events.append, log)


def line(kind: str, message: str = "said", **more: Any) -> str:
    return json.dumps({"@message": message, "@timestamp": "2026-01-01T00:00:00Z", "type": kind, **more})


def hook(kind: str, address: str = HOST, **more: Any) -> str:
    return line(kind, hook={"resource": {"addr": address}, **more})


def planned(action: str) -> str:
    return line("planned_change", change={"resource": {"addr": HOST}, "action": action})


def test_an_instance_being_made(listener: Listener, events: list[Progress], log: io.StringIO) -> None:
    for action in ("create", "replace", "import", "noop", "move"):
        listener.hear(planned(action))
    listener.hear(hook("apply_start", action="create"))
    assert listener.unfinished == {HOST: "create"}
    listener.hear(hook("apply_progress", action="create", elapsed_seconds=10))
    listener.hear(hook("apply_complete", action="create", elapsed_seconds=13))
    assert events == [
        Progress("start", HOST, "create", 0, 0, 3),
        Progress("running", HOST, "create", 10, 0, 3),
        Progress("done", HOST, "create", 13, 1, 3),
    ]
    assert listener.finished == [(HOST, "create")] and listener.unfinished == {}
    assert log.getvalue().count("2026-01-01T00:00:00Z said\n") == 8


def test_a_failed_operation_does_not_count_as_done(listener: Listener, events: list[Progress]) -> None:
    listener.hear(hook("apply_start", action="delete"))
    listener.hear(hook("apply_errored", action="delete", elapsed_seconds=2))
    diagnostic = {"severity": "error", "summary": "deleting", "detail": "no", "address": HOST}
    listener.hear(line("diagnostic", diagnostic={"severity": "warning", "summary": "old"}))
    listener.hear(line("diagnostic", diagnostic=diagnostic))
    assert events[-1].event == "failed" and listener.finished == [] and listener.unfinished == {HOST: "delete"}
    assert listener.errors() == [Diagnostic("error", "deleting", "no", HOST)]


def test_reading_a_data_source_is_no_operation(listener: Listener, events: list[Progress]) -> None:
    """`destroy` reads data sources that its plan does not mention: 101 of 94 operations were reported as done."""
    source = "data.aws_ami.debian"
    for action in ("read", "delete"):
        listener.hear(planned(action))
    listener.hear(hook("apply_start", source, action="read"))
    assert listener.unfinished == {}
    listener.hear(hook("apply_complete", source, action="read", elapsed_seconds=1))
    listener.hear(hook("apply_start", action="delete"))
    listener.hear(hook("apply_complete", action="delete", elapsed_seconds=2))
    assert listener.finished == [(HOST, "delete")] and listener.total == 1
    assert (events[-1].done, events[-1].total) == (1, 1)


def test_the_values_around_an_error_are_not_kept(listener: Listener, log: io.StringIO) -> None:
    snippet = {"values": [{"traversal": "var.password", "statement": 'is "hunter2"'}]}
    listener.hear(line("diagnostic", diagnostic={"severity": "error", "summary": "bad", "snippet": snippet}))
    listener.hear(line("outputs", outputs={"password": {"sensitive": False, "value": "hunter2", "action": "create"}}))
    assert "hunter2" not in log.getvalue() + str(listener.errors())


def test_refreshing_is_shown_and_not_counted(listener: Listener, events: list[Progress]) -> None:
    listener.hear(hook("refresh_start"))
    listener.hear(hook("refresh_complete"))
    assert [(event.event, event.action, event.done) for event in events] == [
        ("start", "refresh", 0),
        ("done", "refresh", 0),
    ]


@pytest.mark.parametrize(
    ("message", "changes", "drift"),
    [
        (line("change_summary", changes={"add": 0}), False, False),
        (planned("create"), True, False),
        (line("resource_drift", change={"resource": {"addr": HOST}, "action": "update"}), False, True),
        (line("outputs", outputs={"a": {"action": "noop"}, "b": {"action": "noop"}}), False, False),
        (line("outputs", outputs={"a": {"action": "noop"}, "b": {"action": "update"}}), True, False),
    ],
)
def test_whether_a_plan_would_do_anything(listener: Listener, message: str, changes: bool, drift: bool) -> None:
    listener.hear(message)
    assert (listener.changes, listener.drift) == (changes, drift)


@pytest.mark.parametrize("line", ["", "plain text", "{", "[1]", '"text"', "{}", '{"type": "of tomorrow"}', "null", "7"])
def test_what_is_not_understood_is_only_logged(listener: Listener, events: list[Progress], line: str) -> None:
    listener.hear(line)
    assert events == [] and not listener.changes


def test_a_crash_of_terraform_is_shown_unchanged(listener: Listener, log: io.StringIO) -> None:
    for line in ("panic: runtime error", "goroutine 1 [running]:"):
        listener.hear(line)
    assert listener.errors()[0].summary.startswith("panic: runtime error")
    assert "goroutine" in log.getvalue()


def test_a_note_is_reported_and_logged(listener: Listener, events: list[Progress], log: io.StringIO) -> None:
    listener.note("waiting")
    assert events == [Progress("note", text="waiting")] and log.getvalue() == "waiting\n"
