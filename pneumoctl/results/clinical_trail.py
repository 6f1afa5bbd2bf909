"""The trail of clinical acts: read from a stack's API, and verified here with the keys of the stack.

An entry is sealed with a MAC key and has the hash of the entry before it, as webapp/api/storage/trail.py writes them.
The number and the hash of the last entry that was verified are kept in the stack's directory, so that a trail whose end
was cut off is found, too.
"""

import hashlib
import hmac
import json
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pneumoctl.errors import PneumoError
from pneumoctl.stack import documents
from pneumoctl.stack.stack import Stack

HEAD = "trail-head.json"
ACTS = (
    "login",
    "logout",
    "view",
    "upload",
    "review",
    "withdrawal",
    "export",
    "import",
    "erase",
    "account",
    "unrecorded",
)
_KEY_NAME = b"pneumo:trail"  # part of the MAC
_DIGITS = 64  # hexadecimal digits of the MAC
_ENTRIES = 1000  # of one request
_MOST_FAULTS = 20  # of one trail; more say nothing new

Read = Callable[[int, int, str], Any]  # after, limit, chain -> a TrailPage document


@dataclass(frozen=True)
class Entry:
    """A stored entry: its number, its hash, and what it says; None if it is not as it was sealed.

    chain: the name of the imported trail that it stands in; empty: the stack's own one.
    """

    n: int
    hash: str
    content: Mapping[str, Any] | None
    chain: str = ""

    @property
    def imports(self) -> dict[str, tuple[int, str]]:
        """The name of the trail that this act imported, with the number and the hash of its last entry."""
        if not self.content or self.content.get("act") != "import" or not self.content.get("subject"):
            return {}
        n, _, digest = str(self.content.get("detail")).partition(" ")
        return {str(self.content["subject"]): (int(n) if n.isdecimal() else 0, digest)}


@dataclass
class Verification:
    """What a verification found: the number of entries, the last one of the stack's own trail, and the faults.

    imported: the names of the trails of other stores that were imported with their results.
    """

    entries: int = 0
    n: int = 0
    hash: str = ""
    imported: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def entries(read: Read, keys: Collection[str], chain: str = "") -> Iterator[Entry]:
    """Every entry, oldest first, each checked with the keys (in hexadecimal). Raises PneumoError."""
    after: int | None = 0
    while after is not None:
        page = read(after, _ENTRIES, chain)
        try:
            found = [(int(item["n"]), str(item["sealed"]).encode("ascii", "replace")) for item in page["entries"]]
            following = None if page["next"] is None else int(page["next"])
        except (TypeError, KeyError, ValueError) as error:
            raise PneumoError("the API's answer is no trail of clinical acts", "pneumoctl up") from error
        for n, sealed in found:
            yield replace(_entry(n, sealed, keys), chain=chain)
        if following is not None and following <= after:
            raise PneumoError("the API lists the same entries of the trail again", "pneumoctl logs api")
        after = following


def newest(read: Read, keys: Collection[str], matches: Callable[[Entry], bool], last: int) -> list[Entry]:
    """The newest entries that match, at most `last` (0: all), of the stack's own trail and of imported ones, by time.

    An entry that two trails have is one. Raises PneumoError.
    """
    found: dict[str, tuple[str, Entry]] = {}
    waiting, done = [""], set[str]()
    while waiting:
        chain, time = waiting.pop(), ""
        done.add(chain)
        kept = deque[tuple[str, Entry]](maxlen=last or None)
        for entry in entries(read, keys, chain):
            time = max(time, str(entry.content["time"])) if entry.content else time  # of a damaged one: that before it
            waiting += [name for name in entry.imports if name not in {*done, *waiting}]
            if matches(entry):
                kept.append((time, entry))
        found = {**{entry.hash: (at, entry) for at, entry in kept}, **found}
    ordered = [entry for _, entry in sorted(found.values(), key=lambda each: (each[0], each[1].n))]
    return ordered[-last:]


def _entry(n: int, sealed: bytes, keys: Collection[str]) -> Entry:
    mac, content = sealed[:_DIGITS], sealed[_DIGITS:]
    digest = hashlib.sha256(content).hexdigest()
    message = _KEY_NAME + b"\0" + content
    if not any(hmac.compare_digest(mac, _mac(key, message)) for key in keys):
        return Entry(n, digest, None)
    try:
        document = json.loads(content)
        return Entry(n, digest, document if document["n"] == n else None)
    except (ValueError, TypeError, KeyError):
        return Entry(n, digest, None)


def _mac(key: str, message: bytes) -> bytes:
    return hmac.new(bytes.fromhex(key), message, hashlib.sha256).hexdigest().encode()


def verify(stack: Stack, read: Read, keys: Collection[str]) -> Verification:
    """Check every entry of the stack's trail and of those that were imported.

    The last entry is kept unless there are faults. Raises PneumoError if the trail cannot be read.
    """
    seen, found = _seen(stack), Verification()
    waiting: dict[str, tuple[int, str]] = {"": (0, "")}
    done: set[str] = set()
    known = seen is None
    while waiting:
        chain, end = waiting.popitem()
        done.add(chain)
        last, named, has = _verify_chain(read, keys, chain, end, seen, found)
        waiting |= {name: where for name, where in named.items() if name not in done}
        known = known or has
        if chain:
            found.imported.append(chain)
        else:
            found.n, found.hash = last
    if seen is not None and not known:
        found.faults.append(f"the end: entry {seen['n']}, which was there on {seen['at'][:10]}, is missing or changed")
    if not found.faults:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        stack.write(HEAD, {"n": found.n, "hash": found.hash, "at": at})
    return found


def _verify_chain(
    read: Read,
    keys: Collection[str],
    chain: str,
    end: tuple[int, str],
    seen: Mapping[str, Any] | None,
    found: Verification,
) -> tuple[tuple[int, str], dict[str, tuple[int, str]], bool]:
    """Check a trail; returns its last entry, the ends of imported ones by name, and whether it has the one `seen`."""
    before, faults, named, has = (0, ""), list[str](), dict[str, tuple[int, str]](), False
    of = f" of the imported trail {chain}" if chain else ""
    for entry in entries(read, keys, chain):
        found.entries += 1
        if entry.n != before[0] + 1:
            faults.append(f"entry {before[0] + 1}{_to(before[0] + 1, entry.n - 1)}{of}: missing")
        if entry.content is None:
            faults.append(f"entry {entry.n}{of}: changed after it was written")
        elif entry.n == before[0] + 1 and entry.content.get("previous") != before[1]:
            faults.append(f"entry {entry.n}{of}: does not follow the entry before it")
        named |= entry.imports
        has = has or (seen is not None and (entry.n, entry.hash) == (seen["n"], seen["hash"]))
        before = (entry.n, entry.hash)
    if chain and before != end:
        faults.append(f"the end{of}: entry {end[0]}, the last one imported, is missing or changed")
    more = [f"and {len(faults) - _MOST_FAULTS} more{of}"] if len(faults) > _MOST_FAULTS else []
    found.faults += faults[:_MOST_FAULTS] + more
    return before, named, has or (seen is not None and seen["n"] == 0)


def _to(first: int, last: int) -> str:
    return f" to {last}" if last > first else ""


def _seen(stack: Stack) -> Mapping[str, Any] | None:
    """The last entry that was verified, None if none was. Raises Damaged."""
    path = stack.directory / HEAD
    hint = f"compare the trail with an export, then remove {path} and verify again"
    return documents.load(path, _parse_seen, hint)


def _parse_seen(document: Any) -> Mapping[str, Any]:
    return {"n": int(document["n"]), "hash": str(document["hash"]), "at": str(document["at"])}
