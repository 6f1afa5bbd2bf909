"""Errors of the operating system: what is printed, and the exit code."""

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pneumoctl.cli.main import run
from pneumoctl.errors import Exit
from pneumoctl.terminal import streams


@contextmanager
def stdout_is(handle: int) -> Iterator[None]:
    """Make this handle standard output, prepared as in a process of its own."""
    with pytest.MonkeyPatch.context() as patched:
        stream = os.fdopen(handle, "w")
        for name in ("stdout", "__stdout__"):
            patched.setattr(sys, name, stream)
        streams.prepare()
        with sys.stdout:
            yield


def full() -> int:
    """A file on a full disk."""
    return os.open("/dev/full", os.O_WRONLY)


def unread() -> int:
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("stdout", [full, unread])
@pytest.mark.parametrize("found", [Exit.CHANGES, Exit.GPU_NOT_STOPPED])
def test_a_finding_keeps_its_code_although_it_cannot_be_printed(
    stdout: Callable[[], int], found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def app(**_: Any) -> int:
        print("a finding")
        return found

    monkeypatch.setattr("pneumoctl.cli.main.app", app)
    with stdout_is(stdout()):
        assert run(["drift"]) == found


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `pneumoctl audit` fail with this error."""

    def refuse(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr("pneumoctl.cli.audit.audit_.chain", refuse)


@pytest.mark.parametrize("filename", ["state.json", 7])
def test_a_name_that_is_no_absolute_path_is_not_looked_up_in_the_current_folder(
    filename: str | int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fail_with(PermissionError(errno.EACCES, "Permission denied", filename), monkeypatch)
    assert run(["audit", "--json"]) == Exit.FAILED
    assert json.loads(capsys.readouterr().out)["error"]["message"] == f"{filename}: Permission denied"


def test_a_folder_that_cannot_be_used_is_named_with_its_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(PermissionError(errno.EACCES, "Permission denied", str(tmp_path)), monkeypatch)
    assert run(["audit"]) == Exit.FAILED
    assert f"{tmp_path} cannot be used by " in capsys.readouterr().err


def test_a_broken_pipe_other_than_standard_output_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(BrokenPipeError(errno.EPIPE, "Broken pipe"), monkeypatch)
    assert run(["audit"]) == Exit.FAILED
    assert "error: the system: Broken pipe\n" in capsys.readouterr().err


def test_the_command_of_an_interrupt_is_repeated_as_it_was_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.toml").write_text("# none\n")
    monkeypatch.chdir(tmp_path)
    fail_with(KeyboardInterrupt(), monkeypatch)
    assert run(["audit", "--config", "a.toml"]) == Exit.INTERRUPTED
    assert capsys.readouterr().err.endswith("run it again: pneumoctl audit --config a.toml\n")


@pytest.mark.parametrize("group", ["data", "gpu", "runs", "model", "results", "secrets"])
def test_a_group_without_a_verb_is_an_error_of_one_line(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([group]) == Exit.USAGE
    output = capsys.readouterr()
    error, following = output.err.splitlines()
    assert error.startswith("error: Missing command: ") and ", " in error and output.out == ""
    assert following.strip() == f"next: pneumoctl {group} --help"
