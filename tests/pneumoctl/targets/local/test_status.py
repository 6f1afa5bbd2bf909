"""The status of a local stack as text: every fault with its next command, and who works on the stack."""

from pathlib import Path
from typing import Any

import pytest

from pneumoctl.errors import Exit
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.common.faults import as_dicts
from pneumoctl.targets.local import status
from pneumoctl.terminal.console import console

API: dict[str, Any] = {
    "name": "api",
    "state": "RUNNING",
    "pid": 7,
    "uptime_s": 9,
    "memory_mb": 80,
    "port": 5000,
    "listening": True,
}
FULL = {"status": "not ready", "checks": {"store": {"ok": False, "fault": "Redis cannot be reached"}}}
SAID = {"warning": "the store is 83 % full"}
NEARLY_FULL = {"status": "ready", "checks": {"store": {"ok": True, "fault": None, **SAID}}}
FILMS = {"checks": {"received": {"ok": True, "fault": None, "warning": "1 received film has no result"}}}
AHEAD = {"checks": {"clock": {"ok": True, "fault": None, "warning": "this host's clock was set by +90 s"}}}
NO_SPACE = {"status": "not ready", "checks": {"store": {"ok": False, "fault": "the store is full", **SAID}}}
UNFINISHED = {"exported": "", "directory": True}
STOPPED = {"state": "STOPPED", "listening": False}
TEARDOWN = {"command": "pneumoctl teardown", "pid": 12, "since": "2026-01-01T00:00:00+00:00"}
GOOD: dict[str, Any] = {
    "stack": "t",
    "exists": True,
    "supervised": True,
    "serving": True,
    "url": "http://127.0.0.1:8080",
    "services": [API],
    "page": {"status": "ready"},
    "api": {"status": "ready", "checks": {"store": {"ok": True, "fault": None}}},
    "disk_free_mb": 501,
    "strays": [],
    "working": [],
    "unfinished_teardown": None,
}


@pytest.mark.parametrize(
    ("changed", "ready", "expected"),
    [
        ({}, True, []),
        (
            {"services": [API | {"state": "FATAL", "listening": False}]},
            True,
            ["api: it is fatal; next: pneumoctl logs api"],
        ),
        (
            {"services": [API | {"state": "STOPPED"}]},
            True,
            ["api: it is stopped: an up or a teardown was interrupted; next: pneumoctl up; or: pneumoctl teardown"],
        ),
        (
            {"services": [API | {"listening": False}]},
            True,
            ["api: it does not listen on port 5000; next: pneumoctl logs"],
        ),
        ({"api": FULL, "page": {}}, False, ["the API is not ready: uploads cannot be stored (Redis cann"]),
        (
            {"api": NEARLY_FULL},
            True,
            ["redis: the store is 83 % full; next: pneumoctl results export PATH, and: pneumoctl results erase ID; or"],
        ),
        (
            {"api": FILMS},
            True,
            ["api: 1 received film has no result; next: look at /received on the web page, and: pneumoctl logs api"],
        ),
        (
            {"api": AHEAD},
            True,
            [
                "api: this host's clock was set by +90 s; next: set the clock of that host and keep it synchronised; "
                "once it is right, restart the API: kill -HUP 7"
            ],
        ),
        (
            {"api": AHEAD, "services": [{**API, "pid": 0}]},
            True,
            [
                "api: this host's clock was set by +90 s; next: set the clock of that host and keep it synchronised; "
                "once it is right, restart the API: pneumoctl status says how"
            ],
        ),
        (
            {"api": NO_SPACE, "page": {}},
            False,
            ["the API is not ready: uploads cannot be stored (the store is full); next: pneumoctl results export PATH"],
        ),
        (
            {"page": {"detail": "no valid answer: it did not answer in time"}},
            False,
            ["the web page is not ready: no valid answer: it did not answer in time; next: pneu"],
        ),
        ({"disk_free_mb": 499}, True, ["499 MB of the disk are free, and `up` needs 500 MB; next: free some"]),
        (
            {"supervised": False, "strays": [8, 9]},
            False,
            ["no supervisor runs its", "processes without a supervisor: 8, 9; next: pneumoctl up, or"],
        ),
        (
            {"supervised": False, "serving": False, "strays": [8], "unfinished_teardown": UNFINISHED},
            False,
            [
                "a teardown was not completed; next: pneumoctl teardown, which completes it (or pneumoctl up, which ",
                "processes without a supervisor: 8; next: pneumoctl teardown",
            ],
        ),
        ({"serving": False, "supervised": False, "strays": [8], "working": [TEARDOWN]}, False, []),
        (
            {"serving": False, "services": [API | STOPPED, API | {"state": "FATAL"}], "working": [TEARDOWN]},
            False,
            ["api: it is fatal; next: pneumoctl logs api"],
        ),
        ({"unfinished_teardown": UNFINISHED}, True, []),  # its export failed, so that it removed nothing
        ({"unfinished_teardown": UNFINISHED, "disk_free_mb": 499}, True, ["499 MB of the disk are free"]),
    ],
)
def test_every_fault_is_named_and_makes_the_exit_code(
    changed: dict[str, Any], ready: bool, expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    document = {**GOOD, **changed}
    found = list(status._faults(document, ready))
    assert [str(fault)[: len(start)] for fault, start in zip(found, expected, strict=True)] == expected
    code = console.report(status.report({**document, "faults": as_dicts(found)}))
    assert code == (Exit.FAILED if expected or not document["serving"] else Exit.DONE)
    assert all(start in capsys.readouterr().out for start in expected[:1])


def test_during_the_first_up_the_command_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stack = Stack("t", tmp_path / "t")
    with stack.locked("up"):
        assert console.report(status.report(status.gather_status(stack))) == Exit.FAILED
    output = capsys.readouterr().out
    assert "pneumoctl up (process " in output and "works on the stack\nstack t is not up yet" in output
