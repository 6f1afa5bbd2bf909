"""What hosts on aws have logged: the commands that read it there, and what these say as entries with a time. Pure."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

STEPS = "/var/lib/pneumoctl/steps.jsonl"  # what the agent did on a host
_RESUMED = 1000  # lines of it among which those that were missed are looked for


@dataclass(frozen=True)
class Entry:
    """A line of a log."""

    at: float  # seconds since 1970, by the host's clock
    host: str
    source: str  # the program
    text: str
    cursor: str = ""  # where to go on after it

    @property
    def time(self) -> str:
        """For a person and for a program: UTC."""
        return datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Journal:
    """The journal of a host, of some units or, without any, all of it."""

    units: tuple[str, ...] = ()

    def command(self, lines: int, follow: bool = False, after: Entry | None = None) -> tuple[str, ...]:
        """The last lines; or all after an entry that was read."""
        chosen = tuple(f"--unit={unit}" for unit in self.units)
        begin = (f"--after-cursor={after.cursor}", "--lines=all") if after else (f"--lines={lines}",)
        wanted = "--output-fields=MESSAGE,SYSLOG_IDENTIFIER,_COMM"
        return ("journalctl", "--quiet", "--no-pager", "--output=json", wanted, *chosen, *begin, *_F[follow])

    def entry(self, host: str, line: str) -> Entry | None:
        """A line of what it says; None if it is none."""
        said = _document(line)
        if "__REALTIME_TIMESTAMP" not in said:
            return None
        source = str(said.get("SYSLOG_IDENTIFIER") or said.get("_COMM") or "")
        at = int(said["__REALTIME_TIMESTAMP"]) / 1e6
        return Entry(at, host, source, _text(said.get("MESSAGE")), str(said["__CURSOR"]))


@dataclass(frozen=True)
class Steps:
    """The steps that pneumoctl did on a host."""

    def command(self, lines: int, follow: bool = False, after: Entry | None = None) -> tuple[str, ...]:
        """See Journal. It has no cursors: what was read before comes again, and is for the reader to leave out."""
        return ("tail", f"--lines={_RESUMED if after else lines}", *(("-F",) if follow else ()), STEPS)

    def entry(self, host: str, line: str) -> Entry | None:
        """See Journal."""
        said = _document(line)
        try:
            at = datetime.fromisoformat(said["at"]).timestamp()
            what = f": {said['what']}" if said.get("what") else ""
            return Entry(at, host, "pneumoctl", f"{said['event']:6} {said['title']}{what} (run {said['run']})")
        except (KeyError, ValueError, TypeError):
            return None


_F = {True: ("--follow",), False: ()}
Log = Journal | Steps


def merged(lists: Iterable[Sequence[Entry]], lines: int) -> list[Entry]:
    """The last lines of several hosts, in the order of their times."""
    return sorted((entry for entries in lists for entry in entries), key=lambda entry: entry.at)[-lines:]


def _document(line: str) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:  # the beginning of a line that was cut off
        return {}
    return said if isinstance(said, dict) else {}


def _text(message: Any) -> str:
    """journald says a message as text; as bytes where it is none; as null where it is very long."""
    if isinstance(message, list) and all(isinstance(one, int) for one in message):
        message = bytes(message).decode(errors="replace")
    if isinstance(message, list):
        message = "\n".join(map(_text, message))
    return "(too long to be shown)" if message is None else str(message)
