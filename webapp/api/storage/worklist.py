"""The rows of all results, kept up to date from Redis, which stays the only truth.

Each use reads what changed since the last one: the stream of changes has the id of each result that was added or
reviewed, and the index of all results has as many members as there are rows, or results were removed. A stream that
does not go on where this process stopped reading (Redis lost its last writes, was replaced, or more has happened than
the stream keeps) means that everything is read again. That, and the first reading, happens in a thread of its own.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace

import redis

from webapp.api.storage import listing
from webapp.api.storage.changes import CHANGES
from webapp.api.storage.errors import Damaged, Missing, NotRead, StoreUnavailable, redis_errors
from webapp.api.storage.keys import index_of, key_of
from webapp.api.storage.records import Record, Review
from webapp.api.storage.rows import Row, Rows, row_of
from webapp.api.storage.transactions import read_together

_BATCH = 500  # results of one request to Redis
_AT_ONCE = 1000  # changes that one use takes in
_MEMBERS = 5000  # members of an index that are read with one command
_LOCK_SECONDS = 3.0  # to wait for others, who may be waiting for Redis
_INDEX = index_of("time", "all")


class Worklist:
    """The rows of a store's results. Safe to share between threads."""

    def __init__(
        self,
        client: redis.Redis,
        open_record: Callable[[str, bytes | None], Record],
        open_review: Callable[[str, list[bytes]], Review],
    ) -> None:
        self._redis = client
        self._open_record = open_record
        self._open_review = open_review
        self._lock = threading.Lock()  # of the rows and the position
        self._rows = Rows()
        self._position: str | None = None  # in the stream: the last entry that was read, if there was any
        self._reading: Future[None] | None = None
        self._starting = threading.Lock()
        self._progress = (0, 0)

    @contextmanager
    def rows(self, wait: float, compare: bool = False) -> Iterator[Rows]:
        """All rows, up to date, which do not change within the block; `compare` them with the index in any case.

        Raises NotRead if they are not read within `wait` seconds; StoreUnavailable.
        """
        try:
            self._start().result(timeout=wait)
        except TimeoutError:
            raise NotRead(*self._progress) from None
        except Exception:
            self._reading = None  # it is tried again, and its error, which knows this frame, is not kept
            raise
        if not self._lock.acquire(timeout=_LOCK_SECONDS):
            raise StoreUnavailable("others wait for Redis")
        try:
            if not (self._reading and self._reading.done() and self._follow(compare)):
                self._start(again=True)
                raise NotRead(*self._progress)
            yield self._rows
        finally:
            self._lock.release()

    def _start(self, again: bool = False) -> Future[None]:
        """The reading of everything: the one that runs, or that has succeeded unless `again`; otherwise a new one."""
        with self._starting:
            reading = self._reading
            if reading is None or (reading.done() and (again or reading.exception() is not None)):
                self._progress = (0, 0)
                self._reading = reading = Future()
                threading.Thread(target=self._read_all, args=(reading,), daemon=True).start()
            return reading

    def _read_all(self, reading: Future[None]) -> None:
        try:
            with redis_errors():
                position = self._last_change()  # before the rows are read: what changes meanwhile is read again
                rows, members = Rows(), self._members()
                self._progress = (0, len(members))
                for start in range(0, len(members), _BATCH):
                    rows.set(self._read_rows(members[start : start + _BATCH]))
                    self._progress = (len(rows), len(members))
            with self._lock:
                self._rows, self._position = rows, position
            reading.set_result(None)
        except StoreUnavailable as error:
            reading.set_exception(StoreUnavailable(str(error)))  # without its frames, which know this object
        except BaseException as error:  # whoever waits gets it
            reading.set_exception(error)

    def _last_change(self) -> str | None:
        newest = self._redis.xrevrange(CHANGES, count=1)
        return newest[0][0].decode("ascii") if newest else None

    def _members(self) -> list[str]:
        """The members of the index of all results, ascending."""
        members: list[bytes] = []
        start: bytes = b"+"
        while part := self._redis.zrevrangebylex(_INDEX, start, "-", 0, _MEMBERS):
            members += part
            start = b"(" + part[-1]
        return [each.decode("ascii", "replace") for each in reversed(members)]

    def _read_rows(self, members: Sequence[str]) -> list[Row]:
        """The rows of results in the index; a record that is damaged or not there is a damaged row.

        They stand where the index has them, also if it is damaged and says another time than the record.
        """
        read = self._read([listing.id_of(each) for each in members])
        return [
            Row(member) if record is None else replace(row_of(record, review), member=member)
            for member, (record, review) in zip(members, read, strict=True)
        ]

    def _read(self, identifiers: Sequence[str]) -> list[tuple[Record | None, Review]]:
        """The records and the last reviews of results; None for a record that is damaged or not there."""
        if not identifiers:
            return []
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.mget([key_of("record", each) for each in identifiers])
            for each in identifiers:
                pipe.lrange(key_of("feedback", each), 0, -1)
            records, *reviews = pipe.execute()
        return [
            (self._intact(identifier, sealed), self._open_review(identifier, entries))
            for identifier, sealed, entries in zip(identifiers, records, reviews, strict=True)
        ]

    def _intact(self, identifier: str, sealed: bytes | None) -> Record | None:
        try:
            return self._open_record(identifier, sealed)
        except (Damaged, Missing):
            return None

    def _follow(self, compare: bool) -> bool:
        """Bring the rows up to date; False if everything must be read again."""
        with redis_errors():
            while True:
                entries, stored = self._changes()
                if self._position is None:
                    new = entries
                    if len(new) > _AT_ONCE:  # the stream may have lost its beginning
                        return False
                elif not entries or entries[0][0].decode("ascii") != self._position:
                    return False
                else:
                    new = entries[1:]
                self._take_in(new)
                if len(new) < _AT_ONCE:
                    break
            return self._compare() if compare or len(self._rows) != stored else True

    def _changes(self) -> list:
        """The entries of the stream from where this process stopped reading, and how many results there are."""
        start = self._position or "-"
        return read_together(self._redis, lambda pipe: pipe.xrange(CHANGES, start, "+", _AT_ONCE + 1).zcard(_INDEX))

    def _take_in(self, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> None:
        if not entries:
            return
        identifiers = list(dict.fromkeys(fields[b"id"].decode("ascii", "replace") for _, fields in entries))
        read = self._read(identifiers)
        self._rows.set(row_of(record, review) for record, review in read if record is not None)
        self._position = entries[-1][0].decode("ascii")

    def _compare(self) -> bool:
        """Drop the rows of results that the index lacks, and read those that it has more; False if they are many."""
        members = self._members()
        known, there = set(self._rows.members), set(members)
        self._rows.remove(known - there)
        new = sorted(there - known)
        if len(new) > _AT_ONCE:
            return False
        self._rows.set(self._read_rows(new))
        return True
