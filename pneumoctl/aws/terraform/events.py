"""What terraform says while it works: progress, diagnostics and what it did, from its machine-readable lines."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TextIO

_OPERATIONS = {"create": 1, "update": 1, "delete": 1, "read": 1, "replace": 2}
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
    """One thing that happened. `total` is 0 while unknown; a note has `text` alone."""

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
    """An error or a warning of terraform's."""

    severity: str
    summary: str
    detail: str
    address: str = ""


class Listener:
    """Hears terraform's lines: reports progress, keeps the rest, writes the readable part to a log."""

    def __init__(self, report: Report, log: TextIO) -> None:
        self._report = report
        self._log = log
        self._plain: list[str] = []
        self._diagnostics: list[Diagnostic] = []
        self.total = 0
        self.finished: list[tuple[str, str]] = []  # address, action
        self.unfinished: dict[str, str] = {}  # address -> action
        self.changes = False  # a plan that would do something
        self.drift = False  # a plan that saw something changed by others

    def note_in_log(self, text: str) -> None:
        """A heading in the log."""
        self._write(f"\n# {text}")

    def note(self, text: str) -> None:
        """Tell the person something about the run itself."""
        self._write(text)
        self._report(Progress("note", text=text))

    def hear(self, line: str) -> None:
        """Take one line of output: JSON of `-json`, or plain text as of `terraform import` and of a crash."""
        try:
            said = json.loads(line)
            kind = said["type"]
        except (ValueError, KeyError, TypeError):
            self._plain.append(line)
            self._write(line)
            return
        self._write(f"{said.get('@timestamp', '')} {said.get('@message', '')}")
        if kind in _EVENTS:
            self._progress(kind, said["hook"])
        elif kind == "diagnostic":
            self._diagnostic(said["diagnostic"])
        else:
            self._planned(kind, said)

    def errors(self) -> list[Diagnostic]:
        """The errors that terraform told, of either kind of output."""
        told = [one for one in self._diagnostics if one.severity == "error"]
        return told or errors_in("\n".join(self._plain))

    def _write(self, text: str) -> None:
        self._log.write(text.rstrip() + "\n")
        self._log.flush()

    def _progress(self, kind: str, hook: Mapping[str, Any]) -> None:
        event, action = _EVENTS[kind]
        action = action or hook.get("action", "")
        address = hook["resource"]["addr"]
        if kind == "apply_start":
            self.unfinished[address] = action
        elif kind == "apply_complete":
            self.unfinished.pop(address, None)
            self.finished.append((address, action))
        elapsed = float(hook.get("elapsed_seconds", 0))
        self._report(Progress(event, address, action, elapsed, len(self.finished), self.total))

    def _diagnostic(self, said: Mapping[str, Any]) -> None:
        one = Diagnostic(said["severity"], said["summary"], said.get("detail", ""), said.get("address", ""))
        self._diagnostics.append(one)
        self._write(one.detail)

    def _planned(self, kind: str, said: Mapping[str, Any]) -> None:
        if kind == "planned_change":
            self.total += _OPERATIONS.get(said["change"]["action"], 0)
            self.changes = True
        elif kind == "resource_drift":
            self.drift = True
        elif kind == "outputs":
            actions = {one.get("action", "noop") for one in said["outputs"].values()}
            self.changes = self.changes or actions != {"noop"}


def errors_in(text: str) -> list[Diagnostic]:
    """The errors in terraform's output for people, with or without its colours and frame of box characters."""
    text = re.sub(r"^[│╷╵] ?", "", re.sub(r"\x1b\[[\d;]*m", "", text), flags=re.MULTILINE)
    found = re.findall(r"^Error: (.+?)\n(.*?)(?=^Error: |\Z)", text + "\n", flags=re.MULTILINE | re.DOTALL)
    if not found and text.strip():  # as of `terraform state pull`, or a crash
        return [Diagnostic("error", text.strip(), "")]
    return [Diagnostic("error", summary.strip(), detail.strip()) for summary, detail in found]
