"""The logs of hosts on aws: the commands that read them, and a parser that gives entries with a time. Pure."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

STEPS = "/var/lib/pneumoctl/steps.jsonl"  # what the agent did on a host
_RESUMED = 1000  # lines that are read again after a lost connection


@dataclass(frozen=True)
class Entry:
    """A line of a log."""

    at: float  # seconds since 1970, by the host's clock
    host: str
    source: str  # the program
    text: str
    cursor: str = ""  # where to resume after it

    @property
    def time(self) -> str:
        """The time as text, UTC."""
        return datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class SystemdJournal:
    """The journal of a host: that of some units, or of all if `units` is empty."""

    units: tuple[str, ...] = ()

    def command(self, lines: int, follow: bool = False, after: Entry | None = None) -> tuple[str, ...]:
        """The command that prints the last lines, or all lines after an entry."""
        chosen = tuple(f"--unit={unit}" for unit in self.units)
        begin = (f"--after-cursor={after.cursor}", "--lines=all") if after else (f"--lines={lines}",)
        wanted = "--output-fields=MESSAGE,SYSLOG_IDENTIFIER,_COMM"
        return ("journalctl", "--quiet", "--no-pager", "--output=json", wanted, *chosen, *begin, *_F[follow])

    def entry(self, host: str, line: str) -> Entry | None:
        """The entry in a line of the command's output; None if there is none."""
        document = _document(line)
        if "__REALTIME_TIMESTAMP" not in document:
            return None
        source = str(document.get("SYSLOG_IDENTIFIER") or document.get("_COMM") or "")
        at = int(document["__REALTIME_TIMESTAMP"]) / 1e6
        return Entry(at, host, source, _text(document.get("MESSAGE")), str(document["__CURSOR"]))


@dataclass(frozen=True)
class Steps:
    """The steps that pneumoctl did on a host."""

    def command(self, lines: int, follow: bool = False, after: Entry | None = None) -> tuple[str, ...]:
        """See SystemdJournal. It has no cursors: the reader leaves out the lines that come again."""
        count = f"--lines={_RESUMED if after else lines}"
        return ("tail", count, "-F", STEPS) if follow else ("sh", "-c", _LAST, "sh", count, STEPS)

    def entry(self, host: str, line: str) -> Entry | None:
        """See SystemdJournal."""
        document = _document(line)
        try:
            at = datetime.fromisoformat(document["at"]).timestamp()
            what = f": {document['what']}" if document.get("what") else ""
            return Entry(
                at, host, "pneumoctl", f"{document['event']:6} {document['title']}{what} (run {document['run']})"
            )
        except (KeyError, ValueError, TypeError):
            return None


_F = {True: ("--follow",), False: ()}
_LAST = 'test ! -e "$2" || exec tail "$1" "$2"'  # a host has no file before its first step
Log = SystemdJournal | Steps


def merged(lists: Iterable[Sequence[Entry]], lines: int) -> list[Entry]:
    """The last lines of several hosts, in the order of their times."""
    return sorted((entry for entries in lists for entry in entries), key=lambda entry: entry.at)[-lines:]


def _document(line: str) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except ValueError:  # the beginning of a line that was cut off
        return {}
    return document if isinstance(document, dict) else {}


def _text(message: Any) -> str:
    """A message of journald: text, a list of bytes if it is no text, null if it is very long."""
    if isinstance(message, list) and all(isinstance(byte, int) for byte in message):
        message = bytes(message).decode(errors="replace")
    if isinstance(message, list):
        message = "\n".join(map(_text, message))
    return "(too long to be shown)" if message is None else str(message)
