"""Erase a result with everything that belongs to it: record, pictures, heat map, reviews and index entries, at once.

The ids of erased results are kept, and nothing else of them: an import can then say which of them it brings back.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Literal, TypeVar

import redis

from webapp.api.storage import listing
from webapp.api.storage.changes import announce, announce_removal
from webapp.api.storage.errors import Damaged, Missing, StoreFull, redis_errors
from webapp.api.storage.keys import ERASED, index_of, key_of
from webapp.api.storage.recording import Recording
from webapp.api.storage.records import Record
from webapp.api.storage.result_parts import (
    FIRST,
    REST,
    Entries,
    Entry,
    entries_of,
    left_over,
    queue_erasure,
    queue_removals,
    said_by,
    search,
)
from webapp.api.storage.retention import Retention
from webapp.api.storage.trail import Act, Trail
from webapp.api.storage.transactions import transact

Outcome = Literal["erased", "before", "unknown"]  # before: it was erased earlier
OpenRecord = Callable[[str, bytes | None], Record]
Result = TypeVar("Result")


class Eraser:
    """Erases results. Every method may raise StoreUnavailable."""

    def __init__(self, client: redis.Redis, open_record: OpenRecord, retention: Retention, trail: Trail) -> None:
        """`open_record`: the record in sealed bytes; raises Missing or Damaged."""
        self._redis = client
        self._open = open_record
        self._retention = retention
        self._trail = trail

    def erase(self, identifier: str, act: Act | None = None) -> Outcome:
        """Erase one result, damaged or not, and note its id. `act`: for the trail."""

        def queue(pipe: redis.client.Pipeline, begin: Callable[[], object] | None) -> Outcome:
            sealed = pipe.get(key_of("record", identifier))
            entries = self._entries(pipe, identifier, sealed)
            if sealed is None and not entries and not left_over(pipe, identifier):
                return "before" if self.was_erased(identifier) else "unknown"
            if begin:
                begin()
                pipe.zadd(ERASED, {identifier: 0})
            queue_erasure(pipe, identifier, entries, announced=begin is not None)
            return "erased"

        outcome = self._change(identifier, queue, act)
        if outcome == "erased" and not self.was_erased(identifier):  # there was no memory for it
            with suppress(StoreFull):
                self.note([identifier])
        return outcome

    def _change(
        self,
        identifier: str,
        queue: Callable[[redis.client.Pipeline, Callable[[], object] | None], Result],
        act: Act | None = None,
    ) -> Result:
        """Change a result in a transaction, which `queue` begins with the function that it is given.

        A Redis without any free memory queues no command, but it does erase: then there is no such function, and each
        command is executed at once. The act is recorded afterwards, in the memory that this has freed.
        """
        keys = (key_of("record", identifier),)
        try:
            return transact(self._redis, keys, lambda pipe: queue(pipe, pipe.multi), Recording.of(self._trail, act))
        except StoreFull:
            result = transact(self._redis, keys, lambda pipe: queue(pipe, None))
        if act is not None:
            self._trail.append_or_owe(act if result == "erased" else replace(act, outcome="unchanged"))
        return result

    def _entries(self, pipe: redis.client.Pipeline, identifier: str, sealed: bytes | None) -> Entries:
        """The index entries of a result; they are searched for if one is not there, or the record cannot be read."""
        try:
            entries = entries_of(self._open(identifier, sealed))
            if all(pipe.zrevrangebylex(index, b"[" + member, b"[" + member) for index, member in entries):
                return entries
            return list({*entries, *search(pipe, identifier, (FIRST, *REST))})
        except (Damaged, Missing):
            found = list(search(pipe, identifier, [FIRST]))
            return [*found, *search(pipe, identifier, REST)] if found or sealed is not None else found

    @property
    def cutoff(self) -> int | None:
        """Results made at or before this moment may be erased (microseconds since 1970); None: none may.

        They have expired by the clocks of this host and of Redis. Raises ClockWrong.
        """
        return self._retention.erasable(self.redis_time()) if self._retention.days else None

    def redis_time(self) -> float:
        """The time by the clock of Redis, in seconds since 1970."""
        with redis_errors():
            seconds, microseconds = self._redis.time()
        return seconds + microseconds / 1e6

    def erase_expired(self, limit: int) -> int:
        """Look at index entries that have expired, `limit` at a time until results are erased; how many were."""
        cutoff = self.cutoff
        if cutoff is None:
            return 0
        start = f"({cutoff + 1:017d}".encode()
        while members := self._listed_before(start, limit):
            if erased := sum(self._erase_listed(member, cutoff) for member in members):
                return erased
            start = b"(" + members[-1]  # some stay: they must not keep the older ones from being looked at
        return 0

    def _listed_before(self, start: bytes, limit: int) -> list[bytes]:
        with redis_errors():
            return self._redis.zrevrangebylex(index_of(*FIRST), start, b"-", 0, limit)

    def _erase_listed(self, member: bytes, cutoff: int) -> bool:
        """Erase the result of an index entry that reads as expired, unless its record says that it has not.

        The entry of a result that was stored again since is removed. One that is damaged is replaced: without memory
        for that, it stays.
        """
        identifier = listing.id_of(member.decode("latin-1"))
        entry = (index_of(*FIRST), member)
        says_time = listing.time_of(member.decode("latin-1")) != listing.UNKNOWN_TIME

        def queue(pipe: redis.client.Pipeline, begin: Callable[[], object] | None) -> bool:
            sealed = pipe.get(key_of("record", identifier))
            if sealed is not None and not self._is_over(identifier, sealed, cutoff, otherwise=says_time):
                self._repair(pipe, identifier, sealed, entry, begin)
                return False
            entries = self._entries(pipe, identifier, sealed)
            if begin:
                begin()
            if entry not in entries:
                pipe.zrem(*entry)
                queue_removals(pipe, [member], announced=begin is not None)
            queue_erasure(pipe, identifier, entries, announced=begin is not None)
            pipe.zrem(ERASED, identifier)  # it was sent again after it was erased, and nobody has erased that
            return sealed is not None

        return self._change(identifier, queue)

    def _repair(
        self,
        pipe: redis.client.Pipeline,
        identifier: str,
        sealed: bytes,
        entry: Entry,
        begin: Callable[[], object] | None,
    ) -> None:
        """Replace an index entry that is not its result's; one whose record cannot be read stays as it is."""
        try:
            entries = entries_of(self._open(identifier, sealed))
        except Damaged:
            return
        if entry in entries or begin is None:
            return
        begin()
        pipe.zrem(*entry)
        for index, right in entries:
            pipe.zadd(index, {right: 0})
        announce_removal(pipe, entry[1])
        announce(pipe, identifier)

    def _is_over(self, identifier: str, sealed: bytes, cutoff: int, otherwise: bool = False) -> bool:
        """Whether a record has expired, by what it says itself if it is damaged; `otherwise`: if it says nothing."""
        expired = self._has_expired(identifier, sealed, cutoff)
        if expired is not None:
            return expired
        said = said_by(sealed)
        return otherwise if said is None else said <= cutoff

    def erase_unlisted(self) -> int:
        """Erase the results that have expired, although no index lists them, and what is left over of results.

        Returns how many were erased. A damaged record that is in no index stays if it does not say when it was made.
        """
        cutoff = self.cutoff
        return 0 if cutoff is None else sum(self._erase_unlisted(each, cutoff) for each in self._stored_ids())

    def _stored_ids(self) -> Iterator[str]:
        """The ids of all that has a record, a picture or reviews, unordered."""
        seen: set[str] = set()
        for part in ("record", "image", "film", "feedback"):
            with redis_errors():
                for name in self._redis.scan_iter(match=key_of(part, "*"), count=500):
                    identifier = name.decode("ascii", "replace").rpartition(":")[2]
                    if identifier not in seen:
                        seen.add(identifier)
                        yield identifier

    def _erase_unlisted(self, identifier: str, cutoff: int) -> bool:
        def queue(pipe: redis.client.Pipeline, begin: Callable[[], object] | None) -> bool:
            sealed = pipe.get(key_of("record", identifier))
            if sealed is not None and not self._is_over(identifier, sealed, cutoff):
                return False
            expired = self._has_expired(identifier, sealed, cutoff)
            entries = self._entries(pipe, identifier, sealed)
            if expired is None and entries:
                return False  # an index lists it: it expires with its entry
            if begin:
                begin()
            queue_erasure(pipe, identifier, entries, announced=begin is not None)
            if expired:
                pipe.zrem(ERASED, identifier)
            return True

        return self._change(identifier, queue)

    def _has_expired(self, identifier: str, sealed: bytes | None, cutoff: int) -> bool | None:
        """Whether the record in the sealed bytes may be erased; None if it cannot be read."""
        try:
            return listing.created(self._open(identifier, sealed).prediction) <= cutoff
        except (Damaged, Missing):
            return None

    def was_erased(self, identifier: str) -> bool:
        """Whether a result with this id was once erased."""
        with redis_errors():
            return bool(self._redis.zrevrangebylex(ERASED, f"[{identifier}", f"[{identifier}"))

    def erased(self) -> list[str]:
        """The ids of the results that were once erased, sorted; some may be stored again."""
        with redis_errors():
            return sorted(each.decode("ascii", "replace") for each in self._redis.zrevrangebylex(ERASED, "+", "-"))

    def note(self, identifiers: Iterable[str]) -> None:
        """Remember that these results were erased."""
        if members := dict.fromkeys(identifiers, 0):
            with redis_errors():
                self._redis.zadd(ERASED, members)
