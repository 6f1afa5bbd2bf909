"""Erase a result with everything that belongs to it: record, picture, heat map, reviews and index entries, at once.

The ids of erased results are kept, and nothing else of them: an import can then say which of them it brings back.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Literal

import redis

from webapp.api.storage import listing
from webapp.api.storage.errors import Damaged, Missing, StoreFull, redis_errors
from webapp.api.storage.keys import ERASED, index_of, key_of
from webapp.api.storage.records import Record
from webapp.api.storage.retention import Retention
from webapp.api.storage.transactions import transact

Outcome = Literal["erased", "before", "unknown"]  # before: it was erased earlier
_FIRST = ("time", "all")  # every listed result is in this index
_PARTS = ("record", "image", "heatmap", "feedback")
Entries = list[tuple[str, str]]  # index and member


def queue_erasure(pipe: redis.client.Pipeline, identifier: str, entries: Entries) -> None:
    """Queue the commands that erase a result: no list may name it once its record is gone."""
    for index, member in entries:
        pipe.zrem(index, member)
    pipe.delete(*(key_of(part, identifier) for part in _PARTS))


def entries_of(record: Record) -> Entries:
    """The index entries of an intact record."""
    return [(index_of(order, chosen), member) for order, chosen, member in listing.memberships(record.prediction)]


class Eraser:
    """Erases results. Every method may raise StoreUnavailable."""

    def __init__(
        self, client: redis.Redis, open_record: Callable[[str, bytes | None], Record], retention: Retention
    ) -> None:
        """`open_record`: the record in sealed bytes; raises Missing or Damaged."""
        self._redis = client
        self._open = open_record
        self._retention = retention

    def erase(self, identifier: str) -> Outcome:
        """Erase one result, damaged or not, and note its id."""
        try:
            return self._erase(identifier, at_once=True)
        except StoreFull:
            outcome = self._erase(identifier, at_once=False)
            with suppress(StoreFull):
                self.note([identifier])
            return outcome

    def _erase(self, identifier: str, at_once: bool) -> Outcome:
        """`at_once`: in one transaction. A Redis without any free memory queues no command, but it does erase."""

        def queue(pipe: redis.client.Pipeline) -> Outcome:
            sealed = pipe.get(key_of("record", identifier))
            entries = self._entries(pipe, identifier, sealed)
            if sealed is None and not entries:
                return "before" if self.was_erased(identifier) else "unknown"
            if at_once:
                pipe.multi()
                pipe.zadd(ERASED, {identifier: 0})
            queue_erasure(pipe, identifier, entries)
            return "erased"

        return transact(self._redis, (key_of("record", identifier),), queue)

    def _entries(self, pipe: redis.client.Pipeline, identifier: str, sealed: bytes | None) -> Entries:
        """The index entries of a result; those of one whose record cannot be read are searched for."""
        try:
            return entries_of(self._open(identifier, sealed))
        except (Damaged, Missing):
            found = list(_search(pipe, identifier, [_FIRST]))
            rest = [(order, each) for order in listing.ORDERS for each in listing.FILTERS if (order, each) != _FIRST]
            return [*found, *_search(pipe, identifier, rest)] if found or sealed is not None else found

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
        """Erase at most `limit` of the results that have expired; returns how many there were."""
        cutoff = self.cutoff
        if cutoff is None:
            return 0
        with redis_errors():
            members = self._redis.zrevrangebylex(index_of(*_FIRST), f"({cutoff + 1:017d}", "-", 0, limit)
        for raw in members:
            member = raw.decode("ascii", "replace")
            try:
                self._erase_listed(member, cutoff, at_once=True)
            except StoreFull:
                self._erase_listed(member, cutoff, at_once=False)
        return len(members)

    def _erase_listed(self, member: str, cutoff: int, at_once: bool) -> None:
        """Erase the result of an expired index entry; only the entry, if its result was stored again since."""
        identifier, entry = listing.id_of(member), (index_of(*_FIRST), member)

        def queue(pipe: redis.client.Pipeline) -> None:
            sealed = pipe.get(key_of("record", identifier))
            entries = self._entries(pipe, identifier, sealed)
            renewed = self._has_expired(identifier, sealed, cutoff) is False
            if at_once:
                pipe.multi()
            if not renewed:
                queue_erasure(pipe, identifier, entries)
            if entry not in entries:
                pipe.zrem(*entry)

        transact(self._redis, (key_of("record", identifier),), queue)

    def erase_unlisted(self, identifiers: Iterable[str]) -> int:
        """Erase those of the results that have expired, although no index lists them; returns how many there were."""
        cutoff = self.cutoff
        return 0 if cutoff is None else sum(self._erase_unlisted(each, cutoff) for each in identifiers)

    def _erase_unlisted(self, identifier: str, cutoff: int) -> bool:
        def queue(pipe: redis.client.Pipeline) -> bool:
            sealed = pipe.get(key_of("record", identifier))
            if not self._has_expired(identifier, sealed, cutoff):
                return False
            pipe.multi()
            queue_erasure(pipe, identifier, self._entries(pipe, identifier, sealed))
            return True

        return transact(self._redis, (key_of("record", identifier),), queue)

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


def _search(
    pipe: redis.client.Pipeline, identifier: str, indexes: Iterable[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """The entries of a result in indexes, found by reading them."""
    end = f":{identifier}".encode()
    for order, chosen in indexes:
        index = index_of(order, chosen)
        for member in pipe.zrevrangebylex(index, "+", "-"):
            if member.endswith(end):
                yield index, member.decode("ascii", "replace")
