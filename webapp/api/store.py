"""Keep predictions, pictures and feedback in Redis; the only file that knows Redis and its keys."""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from webapp.api import listing
from webapp.api.seal import Seal, SealBroken, packed
from webapp.api.settings import StoreSettings

_PREFIX = "pneumo:1:"
_TIMEOUT = 2.0  # seconds; Redis is near and answers within milliseconds or not at all
_HEATMAP_SECONDS = 3600
_MOST_FEEDBACK = 50  # entries kept of one prediction
_HEADROOM = 4 * 1024 * 1024  # bytes free below which no upload should be promised
_ATTEMPTS = 5
PROBE_SECONDS = 120
_PAUSE = 0.2  # seconds between two questions whether Redis is there


class StoreUnavailable(Exception):
    """Redis does not answer, lets nobody in, is full, or cannot write; names the kind of error only."""


class Missing(Exception):
    """Nothing is kept under that id."""


class Damaged(Exception):
    """What is kept is not what was stored; the message is the place."""


class Full(Exception):
    """A prediction has as much feedback as it may have."""


@dataclass(frozen=True)
class Record:
    """A stored prediction: the document, and sha256, width and height of the picture kept with it, if any."""

    prediction: dict
    image: dict | None

    @property
    def id(self) -> str:
        """32 hexadecimal digits."""
        return self.prediction["id"]


@dataclass(frozen=True)
class Page:
    """Some records in order, the ids among them whose record is damaged, the next cursor, how many there are."""

    records: list[Record]
    damaged: list[str]
    next: str | None
    total: int


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise StoreUnavailable(type(error).__name__) from error


def _key(kind: str, identifier: str) -> str:
    return f"{_PREFIX}{kind}:{identifier}"


def _index(order: str, chosen: str) -> str:
    return _key("index", f"{order}:{chosen.replace(' ', '-')}")


class Store:
    """All reads and writes. Every method may raise StoreUnavailable. Safe to share between threads."""

    def __init__(self, client: redis.Redis, seal: Seal) -> None:
        self._redis = client
        self._seal = seal

    @classmethod
    def open(cls, settings: StoreSettings) -> "Store":
        """Connects lazily: the API starts without Redis and says that it is not ready."""
        client = redis.Redis(
            host=settings.host,
            port=settings.port,
            username=settings.username,
            password=settings.password,
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
            # Once more for a connection that Redis closed by restarting; a Redis that hangs is not asked again.
            retry=Retry(ConstantBackoff(0.05), 1, supported_errors=(redis.ConnectionError,)),
        )
        return cls(client, Seal(settings.mac_key, settings.mac_keys_previous))

    def put(self, record: Record, picture: bytes | None, listed: bool = True) -> Record:
        """Keep a record once, with picture and indexes all together, and return the one that was kept first.

        One that is not `listed` stands in no index and goes by itself after PROBE_SECONDS.
        """
        life = None if listed else PROBE_SECONDS
        sealed = self._seal.close(_key("record", record.id), packed(asdict(record)))
        with _translated(), self._redis.pipeline() as pipe:
            for _ in range(_ATTEMPTS):
                pipe.watch(_key("record", record.id))
                first = pipe.get(_key("record", record.id))
                if first is not None:
                    return self._opened(record.id, first)
                pipe.multi()
                pipe.set(_key("record", record.id), sealed, ex=life)
                if picture is not None:
                    pipe.set(_key("image", record.id), picture, ex=life)
                for order, chosen, member in listing.memberships(record.prediction) if listed else ():
                    pipe.zadd(_index(order, chosen), {member: 0})
                try:
                    pipe.execute()
                    return record
                except redis.WatchError:
                    continue  # somebody stored the same id meanwhile: read theirs
        raise StoreUnavailable("contended")

    def get(self, identifier: str) -> Record:
        """Raises Missing or Damaged."""
        with _translated():
            return self._opened(identifier, self._redis.get(_key("record", identifier)))

    def page(self, order: str, chosen: str, cursor: str | None, limit: int) -> Page:
        """At most `limit` records, latest or most probable first; raises listing.CursorInvalid."""
        start = "+" if cursor is None else "(" + listing.from_cursor(order, chosen, cursor)
        with _translated():
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.zrevrangebylex(_index(order, chosen), start, "-", 0, limit + 1)
                pipe.zcard(_index(order, chosen))
                found, total = pipe.execute()
            names = [name.decode("ascii", "replace") for name in found]
            ids = [listing.id_of(name) for name in names[:limit]]
            values = self._redis.mget([_key("record", identifier) for identifier in ids]) if ids else []
        records, damaged = [], []
        for identifier, value in zip(ids, values, strict=True):
            try:
                records.append(self._opened(identifier, value))
            except (Damaged, Missing):
                damaged.append(identifier)
        more = listing.to_cursor(order, chosen, names[limit - 1]) if len(names) > limit else None
        return Page(records, damaged, more, total)

    def picture(self, identifier: str) -> bytes:
        """The picture kept with a record; raises Missing or Damaged."""
        image = self.get(identifier).image
        if image is None:
            raise Missing("No picture is kept with this prediction.")
        with _translated():
            kept = self._redis.get(_key("image", identifier))
        if kept is None or hashlib.sha256(kept).hexdigest() != image["sha256"]:
            raise Damaged(_key("image", identifier))
        return kept

    def heatmap(self, identifier: str) -> bytes | None:
        """The PNG computed lately, if there is one and it is whole."""
        place = _key("heatmap", identifier)
        with _translated():
            sealed = self._redis.get(place)
        try:
            return None if sealed is None else self._seal.open(place, sealed)
        except SealBroken:
            return None

    def keep_heatmap(self, identifier: str, png: bytes) -> None:
        """Keep a PNG for an hour."""
        place = _key("heatmap", identifier)
        with _translated():
            self._redis.set(place, self._seal.close(place, png), ex=_HEATMAP_SECONDS)

    def add_feedback(self, identifier: str, document: dict) -> None:
        """Add to what people said of a prediction; raises Missing, Damaged or Full."""
        self.get(identifier)
        place = _key("feedback", identifier)
        with _translated():
            if self._redis.llen(place) >= _MOST_FEEDBACK:
                raise Full("This prediction has all the feedback it may have.")
            self._redis.rpush(place, self._seal.close(place, packed(document)))

    def feedback(self, identifier: str) -> tuple[list[dict], int]:
        """What people said, oldest first, and how many entries are damaged and left out."""
        place = _key("feedback", identifier)
        with _translated():
            values = self._redis.lrange(place, 0, -1)
        whole = []
        for value in values:
            try:
                whole.append(json.loads(self._seal.open(place, value)))
            except SealBroken:
                continue
        return whole, len(values) - len(whole)

    def probe(self) -> None:
        """Whether Redis answers, takes a write, and has room for more than that."""
        with _translated():
            self._redis.set(_key("probe", "write"), str(time.time()), ex=60)
            memory = self._redis.info("memory")
        if 0 < memory["maxmemory"] < memory["used_memory"] + _HEADROOM:
            raise StoreUnavailable("nearly full")

    def wait(self, seconds: float) -> None:
        """Until Redis answers: just started, it reads its file first, and says so to everyone who asks.

        Raises StoreUnavailable after `seconds`, and at once when Redis lets nobody in.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._redis.ping()
                return
            except (redis.ConnectionError, redis.TimeoutError) as error:
                refused = isinstance(error, redis.AuthenticationError)
                if refused or time.monotonic() >= deadline:
                    raise StoreUnavailable(type(error).__name__) from error
            except redis.RedisError as error:
                raise StoreUnavailable(type(error).__name__) from error
            time.sleep(_PAUSE)

    def ids(self) -> Iterator[str]:
        """Every id that a record is kept under, in no order; new ones may or may not be among them."""
        with _translated():
            for name in self._redis.scan_iter(match=_key("record", "*"), count=500):
                yield name.decode("ascii", "replace").rpartition(":")[2]

    def raw(self, identifier: str) -> bytes:
        """The bytes kept for a record, whatever they are."""
        with _translated():
            return self._redis.get(_key("record", identifier)) or b""

    def _opened(self, identifier: str, sealed: bytes | None) -> Record:
        if sealed is None:
            raise Missing("There is no prediction of that id.")
        place = _key("record", identifier)
        try:
            return Record(**json.loads(self._seal.open(place, sealed)))
        except SealBroken as error:
            raise Damaged(place) from error
