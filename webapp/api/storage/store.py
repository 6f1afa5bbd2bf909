"""Store predictions and pictures in Redis."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Literal, Self

import redis

from model.schema import Invalid
from webapp.api.settings import StoreSettings
from webapp.api.storage import listing, usage
from webapp.api.storage.changes import announce, try_to_announce
from webapp.api.storage.connection import connect, wait
from webapp.api.storage.erasure import Eraser
from webapp.api.storage.errors import (
    ClockWrong,
    Damaged,
    Expired,
    Missing,
    PictureDamaged,
    StoreFull,
    redis_errors,
)
from webapp.api.storage.film_queue import FilmQueue
from webapp.api.storage.keys import key_of
from webapp.api.storage.recording import Recording
from webapp.api.storage.records import Record, record_of
from webapp.api.storage.result_parts import entries_of, queue_erasure
from webapp.api.storage.retention import Clock, Retention
from webapp.api.storage.reviews import Reviews
from webapp.api.storage.seal import Seal, SealBroken, serialize
from webapp.api.storage.trail import Act, Trail
from webapp.api.storage.transactions import read_together, transact
from webapp.api.storage.usage import Usage

_HEATMAP_SECONDS = 3600
# Bytes; they need a new block of the disk. The last block of a file takes a small write on a full disk, too.
_PROBE_SIZE = 8192
PROBE_SECONDS = 120
_NO_RESULT = "There is no result with that id."


class Store:
    """All reads and writes. Every method may raise StoreUnavailable. Safe to share between threads."""

    def __init__(self, client: redis.Redis, seal: Seal, retention: Retention = Retention()) -> None:  # noqa: B008
        self._redis = client
        self._seal = seal
        self._retention = retention
        self.trail = Trail(client, seal)

    @property
    def eraser(self) -> Eraser:
        """What erases results of this store."""
        return Eraser(self._redis, self.open_record, self._retention, self.trail)

    @property
    def reviews(self) -> Reviews:
        """The reviews of this store's results."""
        return Reviews(self._redis, self._seal, self._current, self.trail)

    @property
    def queue(self) -> FilmQueue:
        """The received films that wait to be scored."""
        return FilmQueue(self._redis, self._seal)

    @classmethod
    def open(cls, settings: StoreSettings) -> Self:
        """Connect lazily: without Redis the API starts and reports that it is not ready."""
        client = connect(settings)
        return cls(client, Seal(settings.mac_key, settings.mac_keys_previous), Retention(settings.retention_days))

    def put(
        self,
        record: Record,
        picture: bytes | None,
        listed: bool = True,
        film: bytes | None = None,
        recorded: Callable[[str], Act] | None = None,
    ) -> Record:
        """Store a record with its pictures and index entries in one transaction; return the record stored first.

        A record that is not `listed` is in no index and expires after PROBE_SECONDS. Raises ClockWrong.
        recorded: the act for the trail, by the id of the record.
        """
        expiry, key = None if listed else PROBE_SECONDS, key_of("record", record.id)
        sealed = self._seal.close(key, serialize(asdict(record)))

        def queue(pipe: redis.client.Pipeline) -> Record:
            stored = pipe.get(key)
            first = None if stored is None else self.open_record(record.id, stored)
            if first is not None and not self.gives_way(first):
                return first
            if self._retention.days:
                self._retention.require_fresh(record.prediction, self.eraser.redis_time())
            pipe.multi()
            if first is not None:
                queue_erasure(pipe, first.id, entries_of(first))
            pipe.set(key, sealed, ex=expiry)
            for kind, content in (("image", picture), ("film", film)):
                if content is not None:
                    pipe.set(key_of(kind, record.id), content, ex=expiry)
            for index, member in entries_of(record) if listed else ():
                pipe.zadd(index, {member: 0})
            if listed:
                announce(pipe, record.id)
            return record

        return transact(self._redis, (key,), queue, Recording.of(self.trail, recorded and recorded(record.id)))

    def gives_way(self, stored: Record) -> bool:
        """Whether a stored record has expired, so that a new one takes its place; raises ClockWrong if it may not."""
        if not self._retention.expired(stored.prediction):
            return False
        cutoff = self.eraser.cutoff
        if cutoff is None or listing.created(stored.prediction) > cutoff:
            raise ClockWrong("by this host's clock a stored result has expired, by that of Redis it has not")
        return True

    def get(self, identifier: str) -> Record:
        """The record with that id; raises Missing, which says if it was erased or may have expired, or Damaged."""
        with redis_errors():
            sealed = self._redis.get(key_of("record", identifier))
        return self._current(identifier, sealed)

    def _current(self, identifier: str, sealed: bytes | None) -> Record:
        """The record in the sealed bytes, unless it has expired; raises Missing or Damaged."""
        days = f"results are kept for {self._retention.days} days"
        if sealed is None:
            if self.eraser.was_erased(identifier):
                raise Missing("This result was erased: its picture and its reviews, too.")
            raise Missing(_NO_RESULT + (f" It may have expired: {days}." if self._retention.days else ""))
        record = self.open_record(identifier, sealed)
        if self._retention.expired(record.prediction):
            raise Expired(f"This result has expired: {days}.")
        return record

    def picture(self, identifier: str) -> bytes:
        """The picture stored with a record; raises Missing, Damaged, or PictureDamaged if only the picture is."""
        return self._picture("image", identifier)

    def film(self, identifier: str) -> bytes:
        """The 16-bit film stored with a record; raises Missing, Damaged, or PictureDamaged if only the film is."""
        return self._picture("film", identifier)

    def _picture(self, kind: Literal["image", "film"], identifier: str) -> bytes:
        keys = key_of(kind, identifier), key_of("record", identifier)
        content, sealed = read_together(self._redis, lambda pipe: pipe.get(keys[0]).get(keys[1]))
        record = self._current(identifier, sealed)
        described = record.image if kind == "image" else record.film
        if described is None:
            raise Missing("No such picture is stored with this result.")
        if content is None or hashlib.sha256(content).hexdigest() != described["sha256"]:
            raise PictureDamaged(keys[0])
        return content

    def heatmap(self, identifier: str) -> bytes | None:
        """The cached PNG, if there is one and it is undamaged."""
        key = key_of("heatmap", identifier)
        with redis_errors():
            sealed = self._redis.get(key)
        try:
            return None if sealed is None else self._seal.open(key, sealed)
        except SealBroken:
            return None

    def cache_heatmap(self, identifier: str, png: bytes) -> None:
        """Cache a PNG for an hour, unless its result was erased meanwhile or the store is full."""
        key = key_of("heatmap", identifier)

        def queue(pipe: redis.client.Pipeline) -> None:
            self._current(identifier, pipe.get(key_of("record", identifier)))
            pipe.multi()
            pipe.set(key, self._seal.close(key, png), ex=_HEATMAP_SECONDS)

        with suppress(Missing, StoreFull):
            transact(self._redis, (key_of("record", identifier),), queue)

    def probe(self) -> None:
        """Raise StoreUnavailable unless Redis answers, writes to its disk, and has free memory (StoreFull)."""
        if (memory := self.usage()).full:
            raise StoreFull(f"the store is {memory}")
        with redis_errors():
            self._redis.set(key_of("probe", "write"), str(time.time()).ljust(_PROBE_SIZE), ex=60)
            try_to_announce(self._redis)  # as an upload does
        self.trail.require_right()

    def usage(self) -> Usage:
        """How full the store is."""
        return usage.read(self._redis)

    def clock(self) -> Clock | None:
        """What is known of this host's clock; None if results do not expire, so that it hides none."""
        return self._retention.clock(self.eraser.redis_time()) if self._retention.days else None

    def wait(self, seconds: float) -> None:
        """Wait until Redis answers; after a start it first loads its file and answers every command with an error.

        Raises StoreUnavailable after `seconds`, and immediately if Redis rejects the login.
        """
        wait(self._redis, seconds)

    def ids(self) -> Iterator[str]:
        """The id of every stored record, unordered; records added meanwhile may or may not be included."""
        with redis_errors():
            for name in self._redis.scan_iter(match=key_of("record", "*"), count=500):
                yield name.decode("ascii", "replace").rpartition(":")[2]

    def open_record(self, identifier: str, sealed: bytes | None) -> Record:
        """The record in the sealed bytes; raises Missing or Damaged."""
        if sealed is None:
            raise Missing(_NO_RESULT)
        key = key_of("record", identifier)
        try:
            return record_of(identifier, json.loads(self._seal.open(key, sealed)))
        except (SealBroken, Invalid) as error:
            raise Damaged(key) from error
