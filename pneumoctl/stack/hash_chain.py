"""An append-only file of entries, each holding the hash of the one before: what was changed or removed shows.

A line that a kill cut off stays where it is, and the next entry accounts for it. The last entry's hash is kept in a
file beside, so that an end that was cut off shows, too. All this tells of accidents and of editors; who may write both
files can also make a whole new chain, unless the head was noted elsewhere.
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

from pneumoctl.files import give_to_owner, write_atomically

Entry = dict[str, Any]
_NONE: Entry = {"number": 0, "hash": ""}  # what the first entry follows


@dataclass(frozen=True)
class Line:
    """One line of the file: its number from 1, its bytes, and the entry in it, None if it is none."""

    number: int
    content: bytes
    entry: Entry | None


@dataclass(frozen=True)
class Verification:
    """What a whole chain looks like: its entries, where it is not what was written, and its last entry's hash."""

    entries: tuple[Entry, ...]
    faults: tuple[str, ...]
    head: str


class Chain:
    """The entries of one file. Safe between processes: each append and each reading holds the file's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head = path.with_suffix(".head")

    def append(self, news: Mapping[str, Any]) -> Entry:
        """Add an entry and wait for the disk; it follows the last whole one. OSError if it cannot be written."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            give_to_owner(file.fileno(), self.path.parent)
            fcntl.flock(file, fcntl.LOCK_EX)
            lines = _lines(file.read())
            entry = {**news, **_torn(_rest(lines)), **_place(lines, self._head())}
            entry["hash"] = _hash(entry)
            cut = bool(lines) and not lines[-1].content.endswith(b"\n")
            line = b"\n" * cut + _canonical(entry) + b"\n"
            if file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(file.fileno())
            head = {name: entry[name] for name in _NONE}
            write_atomically(self.head, json.dumps(head).encode(), 0o600)
        return entry

    def entries(self) -> list[Entry]:
        """Every entry that can be read, unverified."""
        with self._read() as lines:
            return [line.entry for line in lines if line.entry]

    def verify(self) -> Verification:
        """Read it all, and hold each line against the one before it and against its own hash."""
        with self._read() as lines:
            faults, head = list(_faults(lines)), self._head()
        entries = tuple(line.entry for line in lines if line.entry)
        last = entries[-1] if entries else _NONE
        if head is None and last["number"] > 1:  # a kill may leave the very first entry without one
            faults.append(f"the end: {self.head.name}, which tells how long the record was, is missing or damaged")
        elif head is not None and not any(_same(one, head) for one in entries):
            faults.append(f"the end: entry {head['number']} is missing or changed, the last that was written")
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
    found = re.findall(rb"[^\n]*\n|[^\n]+", content)
    return [Line(number, one, _entry(one)) for number, one in enumerate(found, 1)]


def _entry(line: bytes) -> Entry | None:
    try:
        entry = json.loads(line)
        sound = type(entry["number"]) is int and isinstance(entry["hash"], str) and isinstance(entry["previous"], str)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return entry if sound else None


def _place(lines: list[Line], head: Entry | None) -> Entry:
    """Number and predecessor of the next entry.

    Where the last one that was written is not there any more, the next one follows it all the same: the gap stays
    to be seen.
    """
    entries = [line.entry for line in lines if line.entry]
    last = entries[-1] if entries else _NONE
    if head is not None and not any(_same(one, head) for one in entries):
        last = head
    return {"number": last["number"] + 1, "previous": last["hash"]}


def _rest(lines: list[Line]) -> bytes:
    """What stands after the last entry and is none."""
    ends = [number for number, line in enumerate(lines, 1) if line.entry]
    return b"".join(line.content for line in lines[ends[-1] if ends else 0 :])


def _torn(rest: bytes) -> Entry:
    """How an entry accounts for the remains before it."""
    rest = rest.removesuffix(b"\n")
    return {"torn": {"bytes": len(rest), "sha256": hashlib.sha256(rest).hexdigest()}} if rest else {}


def _faults(lines: list[Line]) -> Iterator[str]:
    before, strange = _NONE, list[Line]()
    for line in lines:
        entry = line.entry
        if entry is None:
            strange.append(line)
            continue
        if _canonical(entry) != line.content.removesuffix(b"\n") or _hash(entry) != entry["hash"]:
            yield f"line {line.number}: it was changed"
        elif entry.get("torn") != _torn(b"".join(one.content for one in strange)).get("torn"):
            where = f"line {strange[0].number}" if strange else f"before line {line.number}"
            yield f"{where}: what stood there was changed" if "torn" in entry else f"{where}: it is no entry"
        if (entry["number"], entry["previous"]) != (before["number"] + 1, before["hash"]):
            yield f"line {line.number}: it does not follow the entry before it{_gap(before, entry)}"
        before, strange = entry, []
    if strange and strange[-1].content.endswith(b"\n"):  # without its end it is what a kill cut off
        yield f"line {strange[0].number}: it is no entry"


def _gap(before: Entry, entry: Entry) -> str:
    first, last = before["number"] + 1, entry["number"] - 1
    if first > last:
        return ""
    return f": entry {first} is missing" if first == last else f": entries {first} to {last} are missing"


def _same(one: Entry, other: Entry) -> bool:
    return all(one[name] == other[name] for name in _NONE)


def _hash(entry: Entry) -> str:
    return hashlib.sha256(_canonical({name: value for name, value in entry.items() if name != "hash"})).hexdigest()


def _canonical(entry: Entry) -> bytes:
    """The one spelling of an entry."""
    return json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
