"""Store predictions, pictures and feedback in Redis."""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Self

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from model.serving.prediction import current
from webapp.api.settings import StoreSettings
from webapp.api.storage import listing
from webapp.api.storage.changes import announce, try_to_announce
from webapp.api.storage.errors import CONTENDED, Damaged, FeedbackFull, Missing, StoreUnavailable, reason, redis_errors
from webapp.api.storage.keys import index_of, key_of
from webapp.api.storage.records import Record, Review, last_review
from webapp.api.storage.seal import Seal, SealBroken, serialize
from webapp.documents import Feedback

_TIMEOUT = 2.0  # seconds; Redis is on the same network and answers within milliseconds or not at all
_HEATMAP_SECONDS = 3600
_MAX_FEEDBACK = 50  # entries per prediction
_HEADROOM = 4 * 1024 * 1024  # bytes; with less free memory the API is not ready for uploads
PUT_ATTEMPTS = 5
# Bytes; they need a new block of the disk. The last block of a file takes a small write on a full disk, too.
_PROBE_SIZE = 8192
PROBE_SECONDS = 120
_POLL_SECONDS = 0.2  # between two attempts to reach Redis


class Store:
    """All reads and writes. Every method may raise StoreUnavailable. Safe to share between threads."""

    def __init__(self, client: redis.Redis, seal: Seal) -> None:
        self._redis = client
        self._seal = seal

    @classmethod
    def open(cls, settings: StoreSettings) -> Self:
        """Connect lazily: without Redis the API starts and reports that it is not ready."""
        client = redis.Redis(
            host=settings.host,
            port=settings.port,
            unix_socket_path=settings.socket or None,
            username=settings.username,
            password=settings.password,
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
            driver_info=None,  # or each connection sends CLIENT SETINFO, for which the user of the API has no right
            # One retry, for a connection that a restart of Redis closed. A Redis that hangs is not retried.
            retry=Retry(ConstantBackoff(0.05), 1, supported_errors=(redis.ConnectionError,)),
        )
        return cls(client, Seal(settings.mac_key, settings.mac_keys_previous))

    def put(self, record: Record, picture: bytes | None, listed: bool = True) -> Record:
        """Store a record with its picture and index entries in one transaction; return the record stored first.

        A record that is not `listed` is in no index and expires after PROBE_SECONDS.
        """
        expiry = None if listed else PROBE_SECONDS
        sealed = self._seal.close(key_of("record", record.id), serialize(asdict(record)))
        with redis_errors(), self._redis.pipeline() as pipe:
            for _ in range(PUT_ATTEMPTS):
                pipe.watch(key_of("record", record.id))
                first = pipe.get(key_of("record", record.id))
                if first is not None:
                    return self.open_record(record.id, first)
                pipe.multi()
                pipe.set(key_of("record", record.id), sealed, ex=expiry)
                if picture is not None:
                    pipe.set(key_of("image", record.id), picture, ex=expiry)
                for order, list_filter, member in listing.memberships(record.prediction) if listed else ():
                    pipe.zadd(index_of(order, list_filter), {member: 0})
                if listed:
                    announce(pipe, record.id)
                try:
                    pipe.execute()
                    return record
                except redis.WatchError:
                    continue  # the same id was stored concurrently: return that record
        raise StoreUnavailable(CONTENDED)

    def get(self, identifier: str) -> Record:
        """The record with that id; raises Missing or Damaged."""
        with redis_errors():
            return self.open_record(identifier, self._redis.get(key_of("record", identifier)))

    def picture(self, identifier: str) -> bytes:
        """The picture stored with a record; raises Missing or Damaged."""
        image = self.get(identifier).image
        if image is None:
            raise Missing("No picture is stored with this prediction.")
        with redis_errors():
            content = self._redis.get(key_of("image", identifier))
        if content is None or hashlib.sha256(content).hexdigest() != image["sha256"]:
            raise Damaged(key_of("image", identifier))
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
        """Cache a PNG for an hour."""
        key = key_of("heatmap", identifier)
        with redis_errors():
            self._redis.set(key, self._seal.close(key, png), ex=_HEATMAP_SECONDS)

    def add_feedback(self, identifier: str, document: Feedback) -> None:
        """Add feedback to a prediction; raises Missing, Damaged or FeedbackFull."""
        self.get(identifier)
        key = key_of("feedback", identifier)
        with redis_errors():
            if self._redis.llen(key) >= _MAX_FEEDBACK:
                raise FeedbackFull(f"A prediction can have at most {_MAX_FEEDBACK} feedback entries.")
            with self._redis.pipeline() as pipe:
                pipe.rpush(key, self._seal.close(key, serialize(document)))
                announce(pipe, identifier)
                pipe.execute()

    def feedback(self, identifier: str) -> tuple[list[Feedback], int]:
        """The feedback on a prediction, oldest first, and how many entries are damaged and left out."""
        with redis_errors():
            values = self._redis.lrange(key_of("feedback", identifier), 0, -1)
        return self._open_feedback(identifier, values)

    def _open_feedback(self, identifier: str, values: list[bytes]) -> tuple[list[Feedback], int]:
        entries = []
        for value in values:
            with suppress(SealBroken):
                entries.append(json.loads(self._seal.open(key_of("feedback", identifier), value)))
        entries.sort(key=lambda entry: entry.get("created", ""))  # an import appends older ones
        return entries, len(values) - len(entries)

    def open_review(self, identifier: str, values: list[bytes]) -> Review:
        """The last review of a result, of its sealed feedback."""
        return last_review(*self._open_feedback(identifier, values))

    def probe(self) -> None:
        """Raise StoreUnavailable unless Redis answers, writes to its disk, and has free memory."""
        with redis_errors():
            self._redis.set(key_of("probe", "write"), str(time.time()).ljust(_PROBE_SIZE), ex=60)
            try_to_announce(self._redis)  # as an upload does
            memory = self._redis.info("memory")
        if 0 < memory["maxmemory"] < memory["used_memory"] + _HEADROOM:
            raise StoreUnavailable("Redis is nearly full")

    def wait(self, seconds: float) -> None:
        """Wait until Redis answers; after a start it first loads its file and answers every command with an error.

        Raises StoreUnavailable after `seconds`, and immediately if Redis rejects the login.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._redis.ping()
                return
            except redis.RedisError as error:
                transient = isinstance(error, redis.ConnectionError | redis.TimeoutError)
                if not transient or isinstance(error, redis.AuthenticationError) or time.monotonic() >= deadline:
                    raise StoreUnavailable(reason(error)) from error
            time.sleep(_POLL_SECONDS)

    def ids(self) -> Iterator[str]:
        """The id of every stored record, unordered; records added meanwhile may or may not be included."""
        with redis_errors():
            for name in self._redis.scan_iter(match=key_of("record", "*"), count=500):
                yield name.decode("ascii", "replace").rpartition(":")[2]

    def open_record(self, identifier: str, sealed: bytes | None) -> Record:
        """The record in the sealed bytes; raises Missing or Damaged."""
        if sealed is None:
            raise Missing("There is no prediction with that id.")
        key = key_of("record", identifier)
        try:
            stored = json.loads(self._seal.open(key, sealed))
        except SealBroken as error:
            raise Damaged(key) from error
        return Record(current(stored["prediction"]), stored["image"])
