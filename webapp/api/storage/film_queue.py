"""The durable queue of received films: a stream of Redis, from which the API's processes take films to score them.

A film is delivered at least once. Who takes it has it for the time of a lease; if it is not finished by then, because
its process has died, another one takes it. A film is identified by its content and its name, so that it is queued once
however often it is sent. What cannot be scored stays as an error until somebody removes it or has it tried again.
"""

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime

import redis

from webapp.api.storage import usage
from webapp.api.storage.changes import announce
from webapp.api.storage.errors import Damaged, Missing, StoreFull, StoreUnavailable, redis_errors
from webapp.api.storage.keys import key_of
from webapp.api.storage.queued_films import Claim, FailedFilm, Film, QueueState, film_id
from webapp.api.storage.seal import Seal, SealBroken, serialize
from webapp.api.storage.transactions import transact

QUEUE = key_of("queue", "films")
FAILED = key_of("queue", "failed")  # index of the errors, by time
_GROUP, _CONSUMER = "scorers", "api"  # one name for all processes: the lease alone decides who has a film
_RESERVE = 10  # percent of Redis' memory that stay free for results: each film needs one to leave the queue
_SHOWN = 100  # errors in a list
_UNKNOWN = "unknown"


class FilmQueue:
    """The queue. Every method may raise StoreUnavailable. Safe to share between threads and processes."""

    def __init__(self, client: redis.Redis, seal: Seal) -> None:
        self._redis = client
        self._seal = seal

    def put(self, content: bytes, file: str, token: str = "", calling: str = "") -> str:
        """Queue a film, unless it is queued already, and return its id; an earlier error of it is removed.

        Redis has written it to its disk by then. token, calling: who sent it, see Film. Raises StoreFull.
        """
        identifier = film_id(hashlib.sha256(content).hexdigest(), file)
        key = key_of("received", identifier)
        head = serialize({"file": file, "received": _now(), "token": token, "calling": calling})
        sealed = self._seal.close(key, head + b"\n" + content)

        def queue(pipe: redis.client.Pipeline) -> str:
            failed = self._failed_members(pipe, identifier)
            if pipe.exists(key) and not failed:
                return identifier
            self._require_room(len(sealed))
            pipe.multi()
            pipe.set(key, sealed)
            self._queue(pipe, identifier, file, failed)
            return identifier

        return transact(self._redis, (key, key_of("failed", identifier)), queue)

    def _require_room(self, size: int) -> None:
        memory = usage.read(self._redis)
        reserve = max(usage.HEADROOM, memory.maximum * _RESERVE // 100)
        if memory.maximum and memory.used + size + reserve > memory.maximum:
            raise StoreFull(f"the store is {memory}, too full to queue a film")

    def _queue(self, pipe: redis.client.Pipeline, identifier: str, file: str, failed: list[bytes]) -> None:
        pipe.xadd(QUEUE, {"film": identifier, "file": file})
        self._forget_error(pipe, identifier, failed)

    def _forget_error(self, pipe: redis.client.Pipeline, identifier: str, failed: list[bytes]) -> None:
        pipe.delete(key_of("failed", identifier))
        for member in failed:
            pipe.zrem(FAILED, member)
            announce(pipe, identifier)

    def claim(self, lease_s: float, wait_s: float) -> Claim | None:
        """Take a film: one whose lease has ended, else the oldest; None if none comes within `wait_s`, below 2."""
        with redis_errors():
            try:
                taken = self._taken_over(lease_s) or self._next(wait_s)
            except redis.ResponseError as error:
                if not str(error).startswith("NOGROUP"):
                    raise
                self._make_group()
                taken = self._next(wait_s)
            if taken is None:
                return None
            entry, fields = taken
            pending = self._redis.xpending_range(QUEUE, _GROUP, entry, entry, 1)
        identifier, file = (fields.get(name, b"").decode("utf-8", "replace") or _UNKNOWN for name in (b"film", b"file"))
        return Claim(entry, identifier, file, pending[0]["times_delivered"] if pending else 1)

    def _taken_over(self, lease_s: float) -> tuple[bytes, dict[bytes, bytes]] | None:
        answer = self._redis.xautoclaim(QUEUE, _GROUP, _CONSUMER, int(lease_s * 1000), count=1)
        return next((each for each in answer[1] if each[1]), None)

    def _next(self, wait_s: float) -> tuple[bytes, dict[bytes, bytes]] | None:
        answer = self._redis.xreadgroup(_GROUP, _CONSUMER, {QUEUE: ">"}, count=1, block=max(1, int(wait_s * 1000)))
        entries = [
            entry for _, entries in (answer.items() if isinstance(answer, dict) else answer) for entry in entries
        ]
        return entries[0] if entries else None

    def _make_group(self) -> None:
        try:
            self._redis.xgroup_create(QUEUE, _GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # another process was faster
                raise

    def film(self, claim: Claim) -> Film:
        """The film that was taken. Raises Damaged, or Missing if it is not there.

        Its entry in the stream has no seal: one with another name than the film's is damaged.
        """
        with redis_errors():
            film = self._opened(self._redis, claim.id)
        if film.file != claim.file:
            raise Damaged(QUEUE)
        return film

    def _opened(self, client: redis.Redis, identifier: str) -> Film:
        key = key_of("received", identifier)
        sealed = client.get(key)
        if sealed is None:
            raise Missing("The received film is not in the store.")
        try:
            head, _, content = self._seal.open(key, sealed).partition(b"\n")
        except SealBroken as error:
            raise Damaged(key) from error
        return Film(content=content, **json.loads(head))

    def finish(self, claim: Claim) -> None:
        """Erase a film that has a result, unless another process has done so.

        A process that takes longer than its lease may be late: an error that others have stored by then goes, too.
        """

        def queue(pipe: redis.client.Pipeline) -> None:
            failed = self._failed_members(pipe, claim.id)
            if failed or pipe.xrange(QUEUE, claim.entry, claim.entry):
                pipe.multi()
                self._remove(pipe, claim)
                pipe.delete(key_of("received", claim.id))
                self._forget_error(pipe, claim.id, failed)

        transact(self._redis, (key_of("received", claim.id), key_of("failed", claim.id)), queue)

    def _remove(self, pipe: redis.client.Pipeline, claim: Claim) -> None:
        pipe.xack(QUEUE, _GROUP, claim.entry)
        pipe.xdel(QUEUE, claim.entry)

    def release(self, claim: Claim, lease_s: float, pause_s: float) -> None:
        """Give a film back that could not be scored for a reason outside it: it can be taken again after a pause.

        This delivery is not counted.
        """
        idle = max(0, int((lease_s - pause_s) * 1000))
        with redis_errors():
            self._redis.xclaim(
                QUEUE, _GROUP, _CONSUMER, 0, [claim.entry], idle=idle, retrycount=claim.deliveries - 1, justid=True
            )

    def fail(self, claim: Claim, code: str, reason: str) -> None:
        """Take a film out of the queue that cannot be scored, and keep it as an error."""
        failed = FailedFilm(claim.id, claim.file, _now(), code, reason)
        key = key_of("failed", claim.id)
        sealed = self._seal.close(key, serialize(asdict(failed)))

        def queue(pipe: redis.client.Pipeline) -> None:
            if pipe.xrange(QUEUE, claim.entry, claim.entry):
                pipe.multi()
                pipe.set(key, sealed)
                pipe.zadd(FAILED, {f"{time.time_ns() // 1000:017d}:{claim.id}": 0})
                announce(pipe, claim.id)  # an open list must not go on without the error
                self._remove(pipe, claim)

        transact(self._redis, (key_of("received", claim.id), key), queue)

    def failed(self) -> list[FailedFilm]:
        """The newest errors, the newest first; one that is damaged says so."""
        with redis_errors():
            members = self._redis.zrevrangebylex(FAILED, "+", "-", 0, _SHOWN)
            return [self._failed(member.decode("ascii", "replace").rpartition(":")[2]) for member in members]

    def _failed(self, identifier: str) -> FailedFilm:
        key = key_of("failed", identifier)
        with suppress(SealBroken, ValueError, TypeError):
            return FailedFilm(**json.loads(self._seal.open(key, self._redis.get(key) or b"")))
        return FailedFilm(identifier, _UNKNOWN, "", "record-damaged", "The record of this error is damaged.")

    def retry(self, identifier: str) -> None:
        """Queue a film that failed once more. Raises Missing if there is no such film."""

        def queue(pipe: redis.client.Pipeline) -> None:
            failed = self._failed_members(pipe, identifier)
            if not failed or not pipe.exists(key_of("received", identifier)):
                raise Missing("There is no received film with that id that failed.")
            try:
                file = self._opened(pipe, identifier).file
            except Damaged:
                file = _UNKNOWN  # it fails again
            pipe.multi()
            self._queue(pipe, identifier, file, failed)

        transact(self._redis, (key_of("failed", identifier), key_of("received", identifier)), queue)

    def discard(self, identifier: str) -> None:
        """Erase a film that failed, with its error. Raises Missing if there is no such film."""

        def queue(pipe: redis.client.Pipeline) -> None:
            failed = self._failed_members(pipe, identifier)
            if not failed:
                raise Missing("There is no received film with that id that failed.")
            pipe.multi()
            pipe.delete(key_of("received", identifier))
            self._forget_error(pipe, identifier, failed)

        transact(self._redis, (key_of("failed", identifier), key_of("received", identifier)), queue)

    def _failed_members(self, pipe: redis.client.Pipeline, identifier: str) -> list[bytes]:
        """The entries of a film in the index of errors, of which there are few."""
        end = f":{identifier}".encode()
        return [member for member in pipe.zrevrangebylex(FAILED, "+", "-") if member.endswith(end)]

    def unscored(self) -> int:
        """How many received films have no result; 0 for a store of an earlier version, which has no queue."""
        try:
            state = self.state()
        except StoreUnavailable as error:
            if isinstance(error.__cause__, redis.exceptions.NoPermissionError):
                return 0
            raise  # what is not known is not nothing: a teardown asks this
        return state.waiting + state.failed

    def state(self) -> QueueState:
        """How many films wait, for how long, and how many have failed."""
        with redis_errors():
            waiting, failed = self._redis.xlen(QUEUE), self._redis.zcard(FAILED)
            first = self._redis.xrange(QUEUE, count=1)
            seconds, microseconds = self._redis.time()
        oldest = None
        if first:
            oldest = max(0.0, seconds + microseconds / 1e6 - int(first[0][0].split(b"-")[0]) / 1000)
        return QueueState(waiting, oldest, failed)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
