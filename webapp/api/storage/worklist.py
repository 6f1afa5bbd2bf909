"""The rows of all results, kept up to date from Redis, which stays the only truth.

Each use reads what changed since the last one: the stream of changes names each result that was added, reviewed or
removed, and the index of all results has as many members as there are rows, or something changed without a word. A
stream that does not go on where this process stopped reading (Redis lost its last writes, was replaced, or more has
happened than the stream keeps) means that nothing is known until everything is read again.

Processes of an earlier version announce no change. So everything is also read again now and then, and whenever that is
announced, while the rows stay in use: slowly, so that it takes a part of one core only.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

import redis

from webapp.api.storage import changes, listing
from webapp.api.storage.changes import CHANGES, SETTLED, Changes, announce_everything, settle
from webapp.api.storage.errors import Damaged, Missing, NotRead, StoreUnavailable, Unlistable, redis_errors
from webapp.api.storage.keys import index_of, key_of
from webapp.api.storage.reading import Reading, unforeseen
from webapp.api.storage.records import Record, Review
from webapp.api.storage.rows import Row, Rows, row_of
from webapp.api.storage.transactions import read_together

_BATCH = 500  # results of one request to Redis
_SMALL_BATCH = 50  # while the rows are in use: requests wait no longer than for this
_AT_ONCE = 1000  # changes that one use takes in
_MEMBERS = 5000  # members of an index that are read with one command
_LOCK_SECONDS = 3.0  # to wait for others, who may be waiting for Redis
_AGAIN_SECONDS = 600.0  # between two readings of everything
_RETRY_SECONDS = 10.0  # before it is read again after that failed
_PAUSE = 3  # times as long as a batch took, while the rows are in use
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
        self._lock = threading.Lock()  # of what follows
        self._rows: Rows | None = None  # None: nothing is known
        self._position: str | None = None  # in the stream: the last entry that was read, if there was any
        self._stale = False  # it was announced that everything is to be read again
        self._due = 0.0  # when everything is read again (monotonic seconds)
        self._starting = threading.Lock()  # of the reading that runs
        self._reading: Reading | None = None
        self._announced = False

    def start(self) -> None:
        """Begin to read everything, unless that is done. If it cannot begin, the next request tries again."""
        with suppress(Unlistable):
            self._begin()

    @contextmanager
    def rows(self, wait: float, compare: bool = False) -> Iterator[Rows]:
        """All rows, up to date, which do not change within the block; `compare` them with the index in any case.

        Raises NotRead if they are not read within `wait` seconds; StoreUnavailable; Unlistable.
        """
        if self._rows is None and (reading := self._begin()) is not None:
            reading.wait(wait)
        if not self._lock.acquire(timeout=_LOCK_SECONDS):
            raise StoreUnavailable("others wait for Redis")
        try:
            if not self._is_up_to_date(compare):
                self._rows = None
                begun = self._begin()
                raise NotRead(*(begun.progress if begun else (0, 0)))
            if self._reading is None and (self._stale or time.monotonic() >= self._due):
                with suppress(Unlistable):
                    self._begin(again=True)
                    self._stale = False
            yield self._rows
        finally:
            self._lock.release()

    def _is_up_to_date(self, compare: bool) -> bool:
        try:
            return self._rows is not None and self._follow(self._rows, compare)
        except StoreUnavailable:
            raise
        except Exception as error:
            self._rows = None  # perhaps they changed in part
            raise unforeseen(error) from None

    def _begin(self, again: bool = False) -> Reading | None:
        """The reading that runs. If none does, and nothing is known or everything is read `again`, it begins now."""
        with self._starting:
            if self._reading is None and (again or self._rows is None):
                reading = Reading()
                arguments = (reading, _PAUSE if again else 0)
                try:
                    threading.Thread(target=self._read_all, args=arguments, name="worklist", daemon=True).start()
                except RuntimeError as error:  # the machine has no thread left
                    raise unforeseen(error) from None
                self._reading = reading
            return self._reading

    def _read_all(self, reading: Reading, pause: float) -> None:
        due = time.monotonic() + _RETRY_SECONDS
        try:
            with redis_errors():
                rows, position = self._everything(reading, pause)
            with self._lock:
                self._rows, self._position = rows, position
            due = time.monotonic() + _AGAIN_SECONDS
        except StoreUnavailable as error:
            reading.fault, reading.message = StoreUnavailable, str(error)
        except Exception as error:
            reading.fault, reading.message = Unlistable, str(unforeseen(error))
        finally:
            with self._starting:
                self._due, self._reading = due, None
            reading.done.set()

    def _everything(self, reading: Reading, pause: float) -> tuple[Rows, str | None]:
        """All rows, and the position in the stream before they were read: what changes meanwhile is read again."""
        if not self._announced:
            self._announced = announce_everything(self._redis)
        position = changes.position(self._redis) or None
        rows, members = Rows(), self._members()
        batch = _SMALL_BATCH if pause else _BATCH
        for start in range(0, len(members), batch):
            reading.progress = (len(rows), len(members))
            began = time.monotonic()
            rows.set(self._read_rows(members[start : start + batch]))
            time.sleep(pause * (time.monotonic() - began))
        return rows, position

    def _members(self) -> list[str]:
        """The members of the index of all results, ascending."""
        members: list[bytes] = []
        start: bytes = b"+"
        while part := self._redis.zrevrangebylex(_INDEX, start, "-", 0, _MEMBERS):
            members += part
            start = b"(" + part[-1]
        return [each.decode("latin-1") for each in reversed(members)]  # sorted as their bytes, whatever they are

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

    def _follow(self, rows: Rows, compare: bool) -> bool:
        """Bring the rows up to date; False if everything must be read again first."""
        with redis_errors():
            while True:
                entries, stored, settled = self._changes()
                if self._position is None:
                    new = entries
                    if len(new) > _AT_ONCE:  # the stream may have lost its beginning
                        return False
                elif not entries or entries[0][0].decode("ascii") != self._position:
                    return False
                else:
                    new = entries[1:]
                if new:
                    compare |= self._take_in(rows, Changes.of(new))
                    self._position = new[-1][0].decode("ascii")
                if len(new) < _AT_ONCE:
                    break
            if settled is None:
                settle(self._redis)
            return self._compare(rows) if compare or len(rows) != stored else True

    def _changes(self) -> list:
        """The stream from where this process stopped reading, the number of results, and whether nothing is owed."""
        start = self._position or "-"
        return read_together(
            self._redis, lambda pipe: pipe.xrange(CHANGES, start, "+", _AT_ONCE + 1).zcard(_INDEX).get(SETTLED)
        )

    def _take_in(self, rows: Rows, new: Changes) -> bool:
        """Take in what has changed; whether the rows must be compared with the index."""
        self._stale |= new.everything
        rows.remove(new.gone)  # what was stored again since is among the others
        strays = [rows.strays[each] for each in new.identifiers if each in rows.strays]
        read = self._read([each for each in new.identifiers if each not in rows.strays])
        rows.set(row_of(record, review) for record, review in read if record is not None)
        rows.set(self._read_rows(strays))
        return bool(strays)

    def _compare(self, rows: Rows) -> bool:
        """Drop the rows of results that the index lacks, and read those that it has more; False if they are many."""
        members = self._members()
        known, there = set(rows.members), set(members)
        rows.remove(known - there)
        new = sorted(there - known)
        if len(new) > _AT_ONCE:
            return False
        rows.set(self._read_rows(new))
        return True
