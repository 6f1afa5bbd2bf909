"""An append-only file of entries, each with the hash of the entry before it, so that changes and gaps are detected.

If a process is killed while it writes, the incomplete line stays in the file, and the next entry records the size and
the hash of that line. A second file (the head) holds the hash of the last entry, so that a truncation is detected too.
This detects accidents and edits of the file. Somebody who can write both files can still make a new chain, unless the
head was also saved elsewhere.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumoctl.files import give_to_owner, make_private, write_atomically

Entry = dict[str, Any]
_NONE: Entry = {"number": 0, "hash": ""}  # the predecessor of the first entry


@dataclass(frozen=True)
class Line:
    """One line of the file: its number from 1, its bytes, and its entry, None if it is not an entry."""

    number: int
    content: bytes
    entry: Entry | None


@dataclass(frozen=True)
class Verification:
    """The result of a check: the entries, the faults found, and the hash of the last entry."""

    entries: tuple[Entry, ...]
    faults: tuple[str, ...]
    head: str


class Chain:
    """The entries of one file. Safe between processes: every append and every read holds the file's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head = path.with_suffix(".head")

    def append(self, fields: Mapping[str, Any]) -> Entry:
        """Append an entry after the last complete one and flush it to the disk. Raises OSError."""
        make_private(self.path.parent)
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            give_to_owner(file.fileno(), self.path.parent)
            fcntl.flock(file, fcntl.LOCK_EX)
            lines = _lines(file.read())
            entry = {**fields, **_torn(_trailing(lines)), **_position(lines, self._head())}
            entry["hash"] = _hash(entry)
            incomplete = bool(lines) and not lines[-1].content.endswith(b"\n")
            line = b"\n" * incomplete + _canonical(entry) + b"\n"
            if file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(file.fileno())
            head = {name: entry[name] for name in _NONE}
            write_atomically(self.head, json.dumps(head).encode(), 0o600)
        return entry

    def entries(self) -> list[Entry]:
        """Every entry that can be parsed, without verification."""
        with self._read() as lines:
            return [line.entry for line in lines if line.entry]

    def verify(self) -> Verification:
        """Check every line against its own hash and the entry before it."""
        with self._read() as lines:
            faults, head = list(_faults(lines)), self._head()
        entries = tuple(line.entry for line in lines if line.entry)
        last = entries[-1] if entries else _NONE
        if head is None and last["number"] > 1:  # a process killed after the first entry leaves no head
            faults.append(f"the end: {self.head.name}, which holds the last entry's hash, is missing or damaged")
        elif head is not None and not any(_same(entry, head) for entry in entries):
            faults.append(f"the end: entry {head['number']}, the last one written, is missing or changed")
        return Verification(entries, tuple(faults), str(last["hash"]))

    @contextmanager
    def _read(self) -> Iterator[list[Line]]:
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            yield []
            return
        with file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield _lines(file.read())

    def _head(self) -> Entry | None:
        try:
            head = json.loads(self.head.read_bytes())
            return {"number": int(head["number"]), "hash": str(head["hash"])}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None


def _lines(content: bytes) -> list[Line]:
    lines = re.findall(rb"[^\n]*\n|[^\n]+", content)
    return [Line(number, line, _entry(line)) for number, line in enumerate(lines, 1)]


def _entry(line: bytes) -> Entry | None:
    try:
        entry = json.loads(line)
        valid = type(entry["number"]) is int and isinstance(entry["hash"], str) and isinstance(entry["previous"], str)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return entry if valid else None


def _position(lines: list[Line], head: Entry | None) -> Entry:
    """The number of the next entry and the hash of the one before it.

    If the last entry written has been removed, the next one still follows it, so that the gap remains visible.
    """
    entries = [line.entry for line in lines if line.entry]
    last = entries[-1] if entries else _NONE
    if head is not None and not any(_same(entry, head) for entry in entries):
        last = head
    return {"number": last["number"] + 1, "previous": last["hash"]}


def _trailing(lines: list[Line]) -> bytes:
    """The bytes after the last entry, which are not an entry."""
    ends = [number for number, line in enumerate(lines, 1) if line.entry]
    return b"".join(line.content for line in lines[ends[-1] if ends else 0 :])


def _torn(trailing: bytes) -> Entry:
    """The field in which an entry records the incomplete line before it."""
    content = trailing.removesuffix(b"\n")
    return {"torn": {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}} if content else {}


def _faults(lines: list[Line]) -> Iterator[str]:
    before, unparsed = _NONE, list[Line]()
    for line in lines:
        entry = line.entry
        if entry is None:
            unparsed.append(line)
            continue
        if _canonical(entry) != line.content.removesuffix(b"\n") or _hash(entry) != entry["hash"]:
            yield f"line {line.number}: changed after it was written"
        elif entry.get("torn") != _torn(b"".join(other.content for other in unparsed)).get("torn"):
            where = f"line {unparsed[0].number}" if unparsed else f"before line {line.number}"
            yield f"{where}: an incomplete line was changed" if "torn" in entry else f"{where}: not an entry"
        if (entry["number"], entry["previous"]) != (before["number"] + 1, before["hash"]):
            yield f"line {line.number}: does not follow the entry before it{_gap(before, entry)}"
        before, unparsed = entry, []
    if unparsed and unparsed[-1].content.endswith(b"\n"):  # a line without a line feed: its writer was killed
        yield f"line {unparsed[0].number}: not an entry"


def _gap(before: Entry, entry: Entry) -> str:
    first, last = before["number"] + 1, entry["number"] - 1
    if first > last:
        return ""
    return f": entry {first} is missing" if first == last else f": entries {first} to {last} are missing"


def _same(entry: Entry, other: Entry) -> bool:
    return all(entry[name] == other[name] for name in _NONE)


def _hash(entry: Entry) -> str:
    return hashlib.sha256(_canonical({name: value for name, value in entry.items() if name != "hash"})).hexdigest()


def _canonical(entry: Entry) -> bytes:
    """The canonical JSON of an entry, over which its hash is taken."""
    return json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
