"""A teardown that was not completed: found by the audit record, with the export that it made."""

import os
from pathlib import Path

import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.results import transfer
from pneumoctl.stack import audit
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.common import unfinished_teardown


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    stack = Stack("t", tmp_path / "stacks" / "t")
    stack.make()
    command(stack, "up")
    return stack


def command(stack: Stack, name: str, fails: bool = False, **details: object) -> None:
    """Record a command that succeeds, or fails after it has begun."""
    try:
        with audit.recorded(stack, name, {}) as act:
            act.begin()
            if fails:
                raise PneumoError("interrupted", **details)  # type: ignore[arg-type]
    except PneumoError:
        pass


def export(stack: Stack, tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    stack.write(transfer.LAST, {"path": str(folder), "contents": "", "counts": {}})
    return folder


def test_a_stack_that_is_up_has_none(stack: Stack) -> None:
    assert unfinished_teardown.find(stack) is None


def test_one_that_failed_is_found_and_so_is_one_that_was_killed(stack: Stack, tmp_path: Path) -> None:
    command(stack, "teardown", fails=True)
    assert unfinished_teardown.find(stack) == {"exported": "", "directory": True}
    command(stack, "up")
    assert unfinished_teardown.find(stack) is None
    audit.CommandRecord(stack, "teardown", {}).begin()
    command(stack, "gpu stop")
    folder = export(stack, tmp_path)
    found = unfinished_teardown.find(stack)
    assert found == {"exported": str(folder), "directory": True}
    assert str(unfinished_teardown.fault(found)) == (
        f"a teardown was not completed; it has exported the results to {folder}; next: "
        "pneumoctl teardown, which completes it (or pneumoctl up, which brings the stack back)"
    )


def test_one_that_failed_before_it_changed_anything_does_not_count(stack: Stack) -> None:
    command(stack, "teardown", fails=True, changed=[])
    assert unfinished_teardown.find(stack) is None
    command(stack, "teardown", fails=True)
    for name in ("teardown", "up"):
        command(stack, name, fails=True, changed=[])
    assert unfinished_teardown.find(stack) is not None


def test_an_export_from_before_the_teardown_is_not_named(stack: Stack, tmp_path: Path) -> None:
    export(stack, tmp_path)
    os.utime(stack.directory / transfer.LAST, (0, 0))
    command(stack, "teardown", fails=True)
    assert unfinished_teardown.find(stack) == {"exported": "", "directory": True}


def test_once_the_directory_is_being_removed_only_a_teardown_helps(stack: Stack, tmp_path: Path) -> None:
    audit.CommandRecord(stack, "teardown", {}).begin()
    folder = export(stack, tmp_path)
    stack.directory.rename(stack.removed)
    found = unfinished_teardown.find(stack)
    assert found == {"exported": str(folder), "directory": False}
    assert unfinished_teardown.fault(found).next == "pneumoctl teardown, which completes it"
    (stack.removed / transfer.LAST).unlink()
    assert unfinished_teardown.find(stack) == {"exported": "", "directory": False}


def test_a_stack_that_is_gone_has_none(stack: Stack) -> None:
    command(stack, "teardown", fails=True)
    stack.directory.rmdir()
    assert unfinished_teardown.find(stack) is None
