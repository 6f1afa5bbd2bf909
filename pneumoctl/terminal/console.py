"""All output of pneumoctl: results on stdout, everything else on stderr."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pneumoctl.errors import PneumoError
from pneumoctl.terminal import streams
from pneumoctl.terminal.progress import Activities, Bars, PlainLines
from pneumoctl.terminal.report import Report, Table

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.status import Status


OUTPUT_OPTIONS = ("--json", "--no-color", "--quiet", "-q")
WIDTH_OF_A_FILE = 200  # columns of a table that is written to a file or a pipe


class Console:
    """Prints text for a person or one JSON document for a program; loads Rich on first use."""

    def __init__(self) -> None:
        self.json_mode = False
        self._result_printed = False
        self.colour = True
        self.quiet = False
        self._rich: dict[bool, RichConsole] = {}
        self._spinner: Status | None = None
        self.rewrite: Callable[[str], str] = str  # applied to what names commands: they act on the stack named here

    def configure(self, argv: Sequence[str]) -> list[str]:
        """Read the output options from argv before it is parsed, so that usage errors respect them.

        Returns argv without them: they may stand before the command, too. What follows `--` is another program's.
        """
        end = argv.index("--") if "--" in argv else len(argv)
        own = argv[:end]
        self.json_mode = "--json" in own
        self._result_printed = False
        self.colour = "--no-color" not in own
        self.quiet = "--quiet" in own or "-q" in own
        return [*(word for word in own if word not in OUTPUT_OPTIONS), *argv[end:]]

    def rich(self, stderr: bool) -> "RichConsole":
        """The Rich console of stdout or stderr."""
        if stderr not in self._rich:
            from rich.console import Console as RichConsole

            stream = sys.stderr if stderr else sys.stdout
            # A file or a pipe has no width; each row of a table must stay on one line there.
            width = None if stream.isatty() or "COLUMNS" in os.environ else WIDTH_OF_A_FILE
            # Rich's own no_color, which NO_COLOR sets, leaves bold text and moving lines: --no-color ends all codes.
            self._rich[stderr] = RichConsole(
                stderr=stderr,
                highlight=False,
                width=width,
                color_system="auto" if self.colour else None,
                force_terminal=None if self.colour else False,
            )
        return self._rich[stderr]

    def result(self, document: Mapping[str, Any] | Sequence[Any]) -> None:
        """Print the result document of a command under `--json`; every document after the first is ignored."""
        if self.json_mode and not self._result_printed:
            self._result_printed = True
            sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")

    def report(self, report: Report) -> int:
        """Print the report of a command and return its exit code."""
        self.result(report.document)
        self.show(report.blocks)
        return report.code

    def show(self, blocks: Sequence[str | Table], stderr: bool = False) -> None:
        """Print lines and tables: to stdout as a result, or to stderr as a note."""
        for block in blocks:
            if isinstance(block, Table):
                self.table(block.columns, block.rows, block.styles, stderr)
            elif stderr:
                self.note(block)
            else:
                self.text(block)

    def text(self, line: str, verbatim: bool = False) -> None:
        """Print one plain line of a result to stdout; silent under `--json`. `verbatim`: another program's words."""
        if not self.json_mode:
            sys.stdout.write((line if verbatim else self.rewrite(line)) + "\n")

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        styles: Sequence[str] = (),
        stderr: bool = False,
    ) -> None:
        """Print a table with one Rich style per row: to stdout as a result, or to stderr as a note."""
        if self.quiet if stderr else self.json_mode:
            return
        from rich.markup import escape
        from rich.table import Table as RichTable

        table = RichTable(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for number, row in enumerate(rows):
            table.add_row(*(escape(cell) for cell in row), style=styles[number] if styles else None)
        self.rich(stderr=stderr).print(table)

    def clear(self) -> None:
        """Clear the terminal before a result is printed again."""
        self.rich(stderr=False).clear()

    def flush(self) -> None:
        """Flush stdout."""
        sys.stdout.flush()

    def busy(self, title: str) -> None:
        """Show a spinner with a title until `idle`, on a terminal only; a second call changes the title."""
        if self._spinner:
            self._spinner.update(title)
        elif sys.stderr.isatty() and self.colour and not self.quiet:
            self._spinner = self.rich(stderr=True).status(title)
            self._spinner.start()

    def idle(self) -> None:
        """Remove the spinner."""
        if self._spinner:
            self._spinner.stop()
            self._spinner = None

    def note(self, line: str, style: str = "") -> None:
        """Print a line on stderr, unless quiet."""
        if not self.quiet:
            self.rich(stderr=True).print(self.rewrite(line), style=style or None, markup=False, soft_wrap=True)

    def warn(self, line: str) -> None:
        """Print a warning on stderr, also when quiet."""
        self.rich(stderr=True).print(f"warning: {self.rewrite(line)}", style="yellow", markup=False, soft_wrap=True)

    def alarm(self, line: str) -> None:
        """Print what costs money right now, in red on stderr, also when quiet."""
        self.rich(stderr=True).print(f"ALARM: {self.rewrite(line)}", style="bold red", markup=False, soft_wrap=True)

    def fail(self, error: PneumoError) -> None:
        """Print an error with its hint on stderr and, under `--json`, its document on stdout.

        A stream that cannot be written is skipped: its failure must not hide this error.
        """
        error.message, error.hint = self.rewrite(error.message), self.rewrite(error.hint)
        signal: SystemExit | None = None
        try:
            err = self.rich(stderr=True)
            err.print(f"error: {error.message}", style="bold red", markup=False, soft_wrap=True)
            if error.hint:
                err.print(f"  next: {error.hint}", markup=False, soft_wrap=True)
        except OSError:
            pass
        except SystemExit as end:  # Rich exits with 1 when its pipe is broken, a signal with more than 128
            signal = end if isinstance(end.code, int) and end.code > 128 else None
        try:
            self.result(error.as_dict())
            sys.stdout.flush()
        except OSError:
            streams.discard_output()
        if signal:
            raise signal

    def ask(self, question: str) -> bool:
        """Ask a yes-or-no question on stderr; anything but yes, or a missing terminal, means no."""
        if not sys.stdin.isatty():
            self.note(f"{question} [y/N] no: there is no terminal to answer at")
            return False
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    def ask_for(self, word: str, question: str) -> bool:
        """Ask the user to type a word to confirm an action that cannot be undone; a missing terminal means no."""
        if not sys.stdin.isatty():
            self.note(f"{question} Not confirmed: there is no terminal to type {word} at")
            return False
        sys.stderr.write(f"{question} Type {word} to continue: ")
        sys.stderr.flush()
        return sys.stdin.readline().strip() == word

    @contextmanager
    def activities(self, title: str) -> Iterator[Activities]:
        """Show the progress of several activities: bars on a terminal, plain lines elsewhere."""
        stderr = self.rich(stderr=True)
        if stderr.is_terminal and not self.quiet:
            with Bars(title, stderr) as bars:
                yield bars
        else:
            yield PlainLines(self.note, waits=not self.json_mode)

    @contextmanager
    def progress(self, title: str, total: float | None, unit: str = "") -> Iterator[Any]:
        """Show a progress bar on a terminal, a line for each tenth elsewhere; yields `advance(amount)`."""
        if self.rich(stderr=True).is_terminal and not self.quiet:
            with self._bar(title, total, unit) as advance:
                yield advance
        else:
            yield self._lines(title, total, unit)

    @contextmanager
    def _bar(self, title: str, total: float | None, unit: str) -> Iterator[Any]:
        from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        count = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
        columns = ("{task.description}", BarColumn(), count, TimeRemainingColumn())
        with Progress(*columns, console=self.rich(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=total)
            yield lambda amount=1: bar.advance(task, amount)

    def _lines(self, title: str, total: float | None, unit: str) -> Any:
        state = {"done": 0.0, "next": 0.1}

        def advance(amount: float = 1) -> None:
            state["done"] += amount
            if total and state["done"] / total >= state["next"]:
                state["next"] = int(state["done"] / total * 10) / 10 + 0.1
                self.note(f"{title}: {state['done']:.0f}/{total:.0f} {unit}".rstrip())

        return advance


console = Console()
