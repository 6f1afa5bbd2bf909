"""The trail of clinical acts: a hash of Redis that only grows; each entry is sealed and has the hash of the one before.

An entry is added with HSETNX, under its number. That neither replaces nor removes anything, the only other commands
that the API's user may use on these keys read them, and of two processes that add the same number one is told so. An
entry holds ids, and no file name or other data of a patient, so that the trail stays when results are erased.
"""

import json
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import redis

from model.schema import Invalid, checked
from webapp.api.storage.errors import CONTENDED, StoreUnavailable, trail_errors
from webapp.api.storage.keys import TRAIL, trail_of
from webapp.api.storage.seal import Seal, SealBroken, serialize
from webapp.api.storage.trail_end import AHEAD, Head, follow, hash_of, last, numbers
from webapp.documents import ActName, ActorKind, Outcome, TrailEntry, TrailItem

log = logging.getLogger(__name__)
_ATTEMPTS = 50  # to add an entry while others add theirs
_WAIT_S = 0.5  # for another thread that adds an entry


@dataclass(frozen=True)
class Act:
    """What somebody did. request: the id of the request. subject: the id of a prediction, or the name of an account.

    detail: further words, without data of a patient.
    """

    act: ActName
    actor: str
    kind: ActorKind
    role: str
    request: str
    subject: str | None = None
    outcome: Outcome = "done"
    detail: str = ""


class Trail:
    """The trail of a store. Safe to share between threads. Every method may raise StoreUnavailable."""

    def __init__(self, client: redis.Redis, seal: Seal) -> None:
        self._redis = client
        self._seal = seal
        self._head: Head | None = None  # the last entry that this process knows; others may have added more
        self._imported: dict[str, Head] = {}  # of imported trails, by name
        self._one = threading.Lock()  # threads of one process need not compete for a number
        self._owed: list[str] = []  # times of acts that could not be recorded

    def append(self, act: Act) -> None:
        """Add an entry, in one round trip to Redis unless another process has added one since."""
        held = self._one.acquire(timeout=_WAIT_S)  # not for ever: while Redis hangs, its timeouts must not add up
        try:
            owed, self._owed = self._owed, []
            try:
                if owed:
                    self._add(_unrecorded(owed))
                    owed = []
                self._add(act)
            except StoreUnavailable:
                self._owed = [*owed, *self._owed]
                raise
        finally:
            if held:
                self._one.release()

    def append_or_owe(self, act: Act) -> bool:
        """Whether the entry was added; if not, the act is logged, and the next entry will say that acts are missing."""
        try:
            self.append(act)
            return True
        except StoreUnavailable as error:
            self._owed.append(_now())
            log.error(
                "request %s: not in the trail: %s of %s by %s %s: %s",
                *(act.request, act.act, act.subject, act.kind, act.actor, error),
            )
            return False

    def _add(self, act: Act) -> None:
        with trail_errors():
            head = self._head or self._last(self._redis)
            for _ in range(_ATTEMPTS):
                sealed, new = self._entry(act, head)
                if self._redis.hsetnx(TRAIL, str(new.n), sealed):
                    self._head = new
                    return
                added = self._redis.hmget(TRAIL, numbers(head.n, AHEAD))
                if added[0] == sealed:  # the answer was lost, and the client has sent it again
                    self._head = new
                    return
                head = follow(self._redis, head, added=added)
        raise StoreUnavailable(CONTENDED)

    def prepare(self, pipe: redis.client.Pipeline, act: Act) -> tuple[bytes, Head]:
        """The next entry, for a transaction that watches TRAIL already."""
        with trail_errors():
            head = follow(pipe, self._head) if self._head else self._last(pipe)
        return self._entry(act, head)

    def added(self, head: Head) -> None:
        """Take note of an entry that a transaction has added."""
        self._head = head

    def _entry(self, act: Act, head: Head) -> tuple[bytes, Head]:
        entry = {"n": head.n + 1, "id": os.urandom(8).hex(), "time": _now(), **asdict(act), "previous": head.hash}
        sealed = self._seal.close(TRAIL, serialize(entry))
        return sealed, Head(head.n + 1, hash_of(sealed))

    def _last(self, client: redis.Redis, key: str = TRAIL) -> Head:
        return last(client, key, lambda n, sealed: self.item(n, sealed)["entry"] is not None)

    def head(self, chain: str = "") -> Head:
        """The last entry of this store's own trail, or of an imported one."""
        with trail_errors():
            if not chain:
                self._head = follow(self._redis, self._head) if self._head else self._last(self._redis)
                return self._head
            key, known = trail_of(chain), self._imported.get(chain, Head())
            stored = self._redis.hget(key, str(known.n)) if known.n else None
            there = stored is not None and hash_of(stored) == known.hash
            head = follow(self._redis, known, key) if there else self._last(self._redis, key)
            self._imported[chain] = head
            return head

    def page(self, after: int, limit: int, chain: str = "") -> list[TrailItem]:
        """The entries with the next `limit` numbers; one that was removed is left out."""
        return [self.item(n, sealed) for n, sealed in self.sealed(after, limit, chain)]

    def sealed(self, after: int, limit: int, chain: str = "") -> list[tuple[int, bytes]]:
        """As `page`, each as it is stored, with its number."""
        with trail_errors():
            found = self._redis.hmget(trail_of(chain), numbers(after, limit))
        return [(n, sealed) for n, sealed in enumerate(found, after + 1) if sealed is not None]

    def item(self, n: int, sealed: bytes) -> TrailItem:
        """A stored entry; its `entry` is null if it is not as it was sealed."""
        entry: TrailEntry | None = None
        try:
            content: TrailEntry = checked(json.loads(self.content(sealed)), TrailEntry)
            entry = content if content["n"] == n else None
        except (SealBroken, Invalid):
            pass
        return {"n": n, "hash": hash_of(sealed), "sealed": sealed.decode("ascii", "replace"), "entry": entry}

    def content(self, sealed: bytes) -> bytes:
        """The JSON in a stored entry; raises SealBroken if it is not as it was sealed."""
        return self._seal.open(TRAIL, sealed)

    def chains(self) -> list[str]:
        """The names of the imported trails."""
        with trail_errors():
            names = [name.decode("ascii", "replace") for name in self._redis.scan_iter(match=trail_of("*"), count=500)]
        return sorted(name.rpartition(":")[2] for name in names)

    def add_imported(self, entries: Sequence[tuple[str, int, bytes]]) -> int:
        """Add entries of imported trails, each with its key, unless they are there; returns how many were added."""
        with trail_errors(), self._redis.pipeline(transaction=False) as pipe:
            for key, n, sealed in entries:
                pipe.hsetnx(key, str(n), sealed)
            return sum(pipe.execute())

    def require_right(self) -> None:
        """Raise StoreUnavailable unless Redis lets the trail be read."""
        with trail_errors():
            self._redis.hlen(TRAIL)

    def sealed_with(self, sealed: bytes) -> str | None:
        """The id of the key that sealed an entry; None if it is not as it was sealed."""
        try:
            return self._seal.sealed_with(TRAIL, sealed)
        except SealBroken:
            return None


def _unrecorded(times: Sequence[str]) -> Act:
    detail = f"{len(times)} acts from {times[0]} to {times[-1]}; the log of the API names them"
    return Act("unrecorded", "stack", "stack", "", "none", None, "done", detail)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
