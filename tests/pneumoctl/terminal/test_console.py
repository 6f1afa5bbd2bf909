"""Results on stdout, everything else on stderr."""

import io
import json

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.terminal.console import Console


def console(*argv: str) -> Console:
    one = Console()
    one.configure(argv)
    return one


def test_json_mode_prints_one_document_and_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    one = console("--json")
    one.text("for a person")
    one.table(("a",), [("b",)])
    one.result({"a": 1})
    one.note("progress")
    said = capsys.readouterr()
    assert json.loads(said.out) == {"a": 1}
    assert "progress" in said.err


def test_text_mode_prints_text_and_markup_is_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    one = console()
    one.result({"a": 1})
    one.text("[bold]as it is[/bold]")
    one.table(("file",), [("[red]x[/red].png",)], ["bold"])
    said = capsys.readouterr().out
    assert "[bold]as it is[/bold]" in said and "[red]x[/red].png" in said and '"a"' not in said


def test_quiet_drops_notes_and_keeps_warnings_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    one = console("-q")
    one.note("progress")
    one.warn("careful")
    one.fail(PneumoError("broken", "mend it", Exit.LOCKED, holder=1))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == ["warning: careful", "error: broken", "  next: mend it"]


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


def test_progress_without_a_terminal_is_a_few_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with console().progress("Copy", 100, "files") as advance:
        for _ in range(100):
            advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert 9 <= len(lines) <= 11 and lines[-1] == "Copy: 100/100 files"
