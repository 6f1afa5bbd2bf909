"""Erase a result with everything that belongs to it: record, picture, heat map, reviews and index entries, at once.

The ids of erased results are kept, and nothing else of them: an import can then say which of them it brings back.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Literal, TypeVar

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
_CREATED = re.compile(rb'"created":"([0-9T:.+Z-]{10,40})"')
Entry = tuple[str, bytes]  # index and member
Entries = list[Entry]
Result = TypeVar("Result")


def queue_erasure(pipe: redis.client.Pipeline, identifier: str, entries: Entries) -> None:
    """Queue the commands that erase a result: no list may name it once its record is gone."""
    for index, member in entries:
        pipe.zrem(index, member)
    pipe.delete(*(key_of(part, identifier) for part in _PARTS))


def entries_of(record: Record) -> Entries:
    """The index entries of an intact record."""
    return [
        (index_of(order, chosen), member.encode("ascii"))
        for order, chosen, member in listing.memberships(record.prediction)
    ]


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

        def queue(pipe: redis.client.Pipeline, begin: Callable[[], object] | None) -> Outcome:
            sealed = pipe.get(key_of("record", identifier))
            entries = self._entries(pipe, identifier, sealed)
            if sealed is None and not entries and not _left_over(pipe, identifier):
                return "before" if self.was_erased(identifier) else "unknown"
            if begin:
                begin()
                pipe.zadd(ERASED, {identifier: 0})
            queue_erasure(pipe, identifier, entries)
            return "erased"

        outcome = self._change(identifier, queue)
        if outcome == "erased" and not self.was_erased(identifier):  # there was no memory for it
            with suppress(StoreFull):
                self.note([identifier])
        return outcome

    def _change(
        self, identifier: str, queue: Callable[[redis.client.Pipeline, Callable[[], object] | None], Result]
    ) -> Result:
        """Change a result in a transaction, which `queue` begins with the function that it is given.

        A Redis without any free memory queues no command, but it does erase: then there is no such function, and each
        command is executed at once.
        """
        keys = (key_of("record", identifier),)
        try:
            return transact(self._redis, keys, lambda pipe: queue(pipe, pipe.multi))
        except StoreFull:
            return transact(self._redis, keys, lambda pipe: queue(pipe, None))

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
        """Look at `limit` index entries that have expired and erase their results; returns how many were erased."""
        cutoff = self.cutoff
        if cutoff is None:
            return 0
        with redis_errors():
            members = self._redis.zrevrangebylex(index_of(*_FIRST), f"({cutoff + 1:017d}", "-", 0, limit)
        return sum(self._erase_listed(member, cutoff) for member in members)

    def _erase_listed(self, member: bytes, cutoff: int) -> bool:
        """Erase the result of an expired index entry; only the entry, if its result was stored again since."""
        identifier = listing.id_of(member.decode("ascii", "replace"))
        entry = (index_of(*_FIRST), member)

        def queue(pipe: redis.client.Pipeline, begin: Callable[[], object] | None) -> bool:
            sealed = pipe.get(key_of("record", identifier))
            entries = self._entries(pipe, identifier, sealed)
            renewed = self._has_expired(identifier, sealed, cutoff) is False
            if begin:
                begin()
            if not renewed:
                queue_erasure(pipe, identifier, entries)
                pipe.zrem(ERASED, identifier)  # it was sent again after it was erased, and nobody has erased that
            if entry not in entries:
                pipe.zrem(*entry)
            return sealed is not None and not renewed

        return self._change(identifier, queue)

    def erase_unlisted(self) -> int:
        """Erase the results that have expired, although no index lists them, and what is left over of results.

        Returns how many were erased. A damaged record that is in no index stays if it does not say when it was made.
        """
        cutoff = self.cutoff
        return 0 if cutoff is None else sum(self._erase_unlisted(each, cutoff) for each in self._stored_ids())

    def _stored_ids(self) -> Iterator[str]:
        """The ids of all that has a record, a picture or reviews, unordered; some more than once."""
        for part in ("record", "image", "feedback"):
            with redis_errors():
                for name in self._redis.scan_iter(match=key_of(part, "*"), count=500):
                    yield name.decode("ascii", "replace").rpartition(":")[2]

    def _erase_unlisted(self, identifier: str, cutoff: int) -> bool:
        def queue(pipe: redis.client.Pipeline, begin: Callable[[], object] | None) -> bool:
            sealed = pipe.get(key_of("record", identifier))
            expired = self._has_expired(identifier, sealed, cutoff)
            if expired is False:
                return False
            entries = self._entries(pipe, identifier, sealed)
            if expired is None and (entries or not _is_over(sealed, cutoff)):
                return False  # an index lists it: it expires with its entry
            if begin:
                begin()
            queue_erasure(pipe, identifier, entries)
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


def _left_over(pipe: redis.client.Pipeline, identifier: str) -> bool:
    """Whether there is a picture, a heat map or a review; its record may be lost."""
    pictures = pipe.mget([key_of("image", identifier), key_of("heatmap", identifier)])
    return any(each is not None for each in pictures) or pipe.llen(key_of("feedback", identifier)) > 0


def _is_over(damaged: bytes | None, cutoff: int) -> bool:
    """Whether a record is lost, or damaged and says that it was made at or before the cutoff.

    What it says is not sealed, and serves to erase it, never to show it. A record is damaged, too, if this host has
    another key.
    """
    if damaged is None:
        return True
    said = _CREATED.search(damaged)
    try:
        return said is not None and datetime.fromisoformat(said[1].decode()).timestamp() * 1_000_000 <= cutoff
    except ValueError:
        return False


def _search(pipe: redis.client.Pipeline, identifier: str, indexes: Iterable[tuple[str, str]]) -> Iterator[Entry]:
    """The entries of a result in indexes, found by reading them."""
    end = f":{identifier}".encode()
    for order, chosen in indexes:
        index = index_of(order, chosen)
        for member in pipe.zrevrangebylex(index, "+", "-"):
            if member.endswith(end):
                yield index, member
