"""Terraform's machine-readable output lines: progress, diagnostics and completed operations."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TextIO

# Reading a data source is no operation: terraform also reads while it plans, which no planned change announces.
_OPERATIONS = {"create": 1, "update": 1, "delete": 1, "replace": 2}
_EVENTS: dict[str, tuple[Literal["start", "running", "done", "failed"], str]] = {
    "refresh_start": ("start", "refresh"),
    "refresh_complete": ("done", "refresh"),
    "apply_start": ("start", ""),
    "apply_progress": ("running", ""),
    "apply_complete": ("done", ""),
    "apply_errored": ("failed", ""),
}


@dataclass(frozen=True)
class Progress:
    """One event of a terraform run. `total` is 0 while unknown; a note has only `text`."""

    event: Literal["start", "running", "done", "failed", "note"]
    address: str = ""
    action: str = ""  # create, update, delete, read, refresh
    elapsed: float = 0.0  # seconds
    done: int = 0
    total: int = 0
    text: str = ""


Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Diagnostic:
    """An error or a warning of terraform."""

    severity: str
    summary: str
    detail: str
    address: str = ""


class Listener:
    """Receives terraform's lines: reports progress, collects diagnostics, writes the readable part to a log."""

    def __init__(self, report: Report, log: TextIO) -> None:
        self._report = report
        self._log = log
        self._plain: list[str] = []
        self._diagnostics: list[Diagnostic] = []
        self.total = 0
        self.finished: list[tuple[str, str]] = []  # address, action
        self.unfinished: dict[str, str] = {}  # address -> action
        self.changes = False  # the plan would change something
        self.planned: list[str] = []  # addresses of the resources that the plan would change
        self.drift = False  # the plan found changes made outside terraform

    def note_in_log(self, text: str) -> None:
        """Write a heading to the log."""
        self._write(f"\n# {text}")

    def note(self, text: str) -> None:
        """Log and report a note about the run itself."""
        self._write(text)
        self._report(Progress("note", text=text))

    def hear(self, line: str) -> None:
        """Take one line of output: JSON with `-json`, else plain text, as of `terraform import` or a crash."""
        try:
            message = json.loads(line)
            kind = message["type"]
        except (ValueError, KeyError, TypeError):
            self._plain.append(line)
            self._write(line)
            return
        self._write(f"{message.get('@timestamp', '')} {message.get('@message', '')}")
        if kind in _EVENTS:
            self._progress(kind, message["hook"])
        elif kind == "diagnostic":
            self._diagnostic(message["diagnostic"])
        else:
            self._planned(kind, message)

    def errors(self) -> list[Diagnostic]:
        """Terraform's errors, from either kind of output."""
        errors = [diagnostic for diagnostic in self._diagnostics if diagnostic.severity == "error"]
        return errors or errors_in("\n".join(self._plain))

    def _write(self, text: str) -> None:
        self._log.write(text.rstrip() + "\n")
        self._log.flush()

    def _progress(self, kind: str, hook: Mapping[str, Any]) -> None:
        event, action = _EVENTS[kind]
        action = action or hook.get("action", "")
        address = hook["resource"]["addr"]
        if kind == "apply_start" and action in _OPERATIONS:
            self.unfinished[address] = action
        elif kind == "apply_complete" and action in _OPERATIONS:
            self.unfinished.pop(address, None)
            self.finished.append((address, action))
        elapsed = float(hook.get("elapsed_seconds", 0))
        self._report(Progress(event, address, action, elapsed, len(self.finished), self.total))

    def _diagnostic(self, entry: Mapping[str, Any]) -> None:
        diagnostic = Diagnostic(entry["severity"], entry["summary"], entry.get("detail", ""), entry.get("address", ""))
        self._diagnostics.append(diagnostic)
        self._write(diagnostic.detail)

    def _planned(self, kind: str, message: Mapping[str, Any]) -> None:
        if kind == "planned_change":
            self.total += _OPERATIONS.get(message["change"]["action"], 0)
            self.planned.append(message["change"]["resource"]["addr"])
            self.changes = True
        elif kind == "resource_drift":
            self.drift = True
        elif kind == "outputs":
            actions = {output.get("action", "noop") for output in message["outputs"].values()}
            self.changes = self.changes or actions != {"noop"}


def errors_in(text: str) -> list[Diagnostic]:
    """The errors in terraform's plain text output, with or without colours and box characters."""
    text = re.sub(r"^[│╷╵] ?", "", re.sub(r"\x1b\[[\d;]*m", "", text), flags=re.MULTILINE)
    errors = re.findall(r"^Error: (.+?)\n(.*?)(?=^Error: |\Z)", text + "\n", flags=re.MULTILINE | re.DOTALL)
    if not errors and text.strip():  # as of `terraform state pull`, or a crash
        return [Diagnostic("error", text.strip(), "")]
    return [Diagnostic("error", summary.strip(), detail.strip()) for summary, detail in errors]
