"""Standard streams that are closed, full or no longer read, and interrupts: one clear error, never a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pneumoctl.cli.main import run
from pneumoctl.errors import Exit
from tests.pneumoctl.conftest import Operator


def shell(line: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """`pneumoctl` and the rest of a shell's line."""
    merged = {**os.environ, **environment, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(["sh", "-c", f'"$0" -m pneumoctl {line}', sys.executable], capture_output=True, env=merged)


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("--version", ">&-"),
        ("init --help", ">/dev/full"),
        ("audit --stack nosuch --json", ">/dev/full"),
        ("status --stack nosuch", ">&-"),
    ],
)
def test_a_result_that_cannot_be_written_is_one_error(line: str, target: str) -> None:
    result = shell(f"{line} {target}")
    assert result.returncode == Exit.FAILED
    assert result.stderr.count(b"error: standard output: ") == result.stderr.count(b"error") == 1


@pytest.mark.parametrize("target", [">/dev/full", ">&-"])
def test_an_error_is_shown_although_its_document_cannot_be_written(target: str) -> None:
    result = shell(f"up --nonsense --json {target}")
    assert result.returncode == Exit.USAGE and result.stderr.count(b"error:") == 1 and b"--nonsense" in result.stderr


def test_a_reader_that_has_gone_ends_the_command_quietly() -> None:
    """The command itself would end with 0."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "pneumoctl", "init", "--help"]
    result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert result.returncode == Exit.FAILED and result.stderr == b""


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_interrupt_is_one_error_with_the_next_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pneumoctl.cli.audit.audit_.chain", _interrupt)
    assert run(["audit", "--stack", "a", "--json"]) == Exit.INTERRUPTED
    shown = capsys.readouterr()
    assert json.loads(shown.out)["error"]["code"] == Exit.INTERRUPTED
    assert shown.err == "error: interrupted\n  next: run it again: pneumoctl audit --stack a --json\n"


def test_a_command_on_a_host_may_end_with_the_code_of_an_interrupt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pneumoctl.cli.ssh._connect", lambda *_: Exit.INTERRUPTED)
    assert run(["ssh", "web-0", "--", "false"]) == Exit.INTERRUPTED
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("arguments", [["status", "--watch"], ["logs", "--follow"]])
def test_what_runs_until_it_is_interrupted_ends_quietly(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pneumoctl.stack.stack.Stack.target", "local")
    for verb in ("status", "logs"):
        monkeypatch.setattr(f"pneumoctl.targets.local.target.Target.{verb}", _interrupt)
    assert run(arguments) == Exit.INTERRUPTED
    assert capsys.readouterr() == ("", "")


EARLY = """import importlib, os, sys
load = importlib.import_module
importlib.import_module = lambda name: (os.kill(os.getpid(), 2), load(name))[1]
from pneumoctl.__main__ import main
sys.argv = ["pneumoctl", "audit", "--json"]
main()
"""


def test_an_interrupt_during_the_imports_is_reported_too() -> None:
    result = subprocess.run([sys.executable, "-c", EARLY], capture_output=True, text=True)
    assert result.returncode == Exit.INTERRUPTED, result.stderr
    assert json.loads(result.stdout)["error"]["message"] == "interrupted" and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "closed",
    ["<&-", *(pytest.param(more, marks=pytest.mark.repeat) for more in ("<&- 2>&-", "<&- >&-")), "<&- >&- 2>&-"],
)
def test_closed_streams_are_no_traceback_and_no_file_takes_their_place(closed: str, tmp_path: Path) -> None:
    result = shell(f"teardown {closed}", XDG_STATE_HOME=str(tmp_path))
    assert b"Traceback" not in result.stderr
    assert result.returncode == (Exit.FAILED if ">&-" in closed.replace("2>&-", "") else Exit.DONE)
    left = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert not [content for content in left if b"error" in content or b"nothing to do" in content]


def test_a_question_to_a_closed_standard_input_is_answered_no(operator: Operator) -> None:
    line = f"exec {sys.executable} -m pneumoctl up <&-"
    result = subprocess.run(["sh", "-c", line], env=operator.environment, capture_output=True, text=True)
    assert result.returncode == Exit.FAILED and "nothing was changed" in result.stderr
