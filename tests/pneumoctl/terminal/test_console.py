"""Results on stdout, everything else on stderr."""

import io
import json
import os
import pty
import subprocess
import sys
from contextlib import nullcontext
from typing import NoReturn

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.terminal.console import Console


def console(*argv: str) -> Console:
    made = Console()
    made.configure(argv)
    return made


def test_json_mode_prints_one_document_and_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    json_console = console("--json")
    json_console.text("for a person")
    json_console.table(("a",), [("b",)])
    json_console.result({"a": 1})
    json_console.note("progress")
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"a": 1}
    assert "progress" in captured.err


def test_text_mode_prints_text_and_markup_is_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    text_console = console()
    text_console.result({"a": 1})
    text_console.text("[bold]as it is[/bold]")
    text_console.table(("file",), [("[red]x[/red].png",)], ["bold"])
    output = capsys.readouterr().out
    assert "[bold]as it is[/bold]" in output and "[red]x[/red].png" in output and '"a"' not in output


def test_quiet_drops_notes_and_keeps_warnings_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    quiet_console = console("-q")
    quiet_console.note("progress")
    quiet_console.warn("careful")
    quiet_console.fail(PneumoError("broken", "mend it", Exit.LOCKED, holder=1))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["warning: careful", "error: broken", "  next: mend it"]


def test_an_error_document_has_code_and_details() -> None:
    document = PneumoError("m", "h", Exit.PARTLY, files=["a"]).as_dict()
    assert document == {"error": {"message": "m", "hint": "h", "code": 6, "files": ["a"]}}


@pytest.mark.parametrize(
    ("typed", "agreed"), [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("", False)]
)
def test_only_yes_is_yes(typed: str, agreed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = io.StringIO(typed)
    answer.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", answer)
    assert console().ask("Go on?") is (typed in ("y\n", "YES\n"))


def test_without_a_terminal_what_would_be_asked_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert not console().ask("Add 3 results?") and not console().ask_for("t", "All is destroyed.")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Add 3 results? ") and lines[1].startswith("All is destroyed. ")


def test_progress_without_a_terminal_is_a_few_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with console().progress("Copy", 100, "files") as advance:
        for _ in range(100):
            advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert 9 <= len(lines) <= 11 and lines[-1] == "Copy: 100/100 files"


@pytest.mark.parametrize(("code", "ends"), [(1, False), (143, True)])
def test_a_signal_while_an_error_is_printed_ends_the_command(
    code: int, ends: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After its document. Rich exits with 1 if nobody reads stderr: the error keeps its own code then."""
    json_console = console("--json")

    def end(**_: object) -> NoReturn:
        raise SystemExit(code)

    monkeypatch.setattr(json_console, "rich", end)
    with pytest.raises(SystemExit) if ends else nullcontext():
        json_console.fail(PneumoError("broken"))
    assert json.loads(capsys.readouterr().out)["error"]["message"] == "broken"


@pytest.mark.parametrize(
    ("words", "escapes"), [((), True), (("--no-color",), False)], ids=["with colours", "--no-color"]
)
def test_no_color_sends_no_escape_code_to_a_terminal(words: tuple[str, ...], escapes: bool) -> None:
    """In a process of its own, on a real terminal: a table with a bold head, an error, a spinner, a bar, a clearing."""
    program = (
        "import sys; from pneumoctl.terminal.console import console; from pneumoctl.errors import PneumoError\n"
        "console.configure(sys.argv[1:]); console.table(('host',), [('app-0',)], ['bold red']); console.clear()\n"
        "console.fail(PneumoError('no', 'go')); console.busy('waiting'); console.idle(); console.alarm('on')\n"
        "with console.activities('boot') as shown: shown.expect(1); shown.end('app-0', 'up')\n"
        "with console.progress('copy', 2) as advance: advance(1)\n"
    )
    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "FORCE_COLOR": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", program, *words], stdin=child, stdout=child, stderr=child, env=environment
    ) as process:
        os.close(child)
        output = b""
        while part := _read(parent):
            output += part
    os.close(parent)
    assert process.returncode == 0 and b"app-0" in output and b"error: no" in output
    assert (b"\x1b" in output) is escapes


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the last process that had it open has ended
        return b""
