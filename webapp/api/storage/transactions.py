"""Change several keys of the store at once, or none of them; read several keys at one moment."""

from collections.abc import Callable
from typing import Any, TypeVar

import redis

from webapp.api.storage.errors import CONTENDED, StoreUnavailable, redis_errors
from webapp.api.storage.keys import TRAIL
from webapp.api.storage.recording import Recording

Result = TypeVar("Result")
_ATTEMPTS = 5
_RECORDING_ATTEMPTS = 50  # every view adds to the trail


def transact(
    client: redis.Redis,
    keys: tuple[str, ...],
    queue: Callable[[redis.client.Pipeline], Result],
    recording: Recording | None = None,
) -> Result:
    """The result of `queue`, once the commands that it queued were executed while none of the keys changed.

    `queue` reads the keys, calls `multi` and queues commands; it is called again if a key changed meanwhile. Nothing is
    executed if it queues nothing. Raises StoreUnavailable.
    recording: an act that is added to the trail in the same transaction, so that neither is stored without the other;
    if nothing was queued, that it has changed nothing.
    """
    if recording is None:
        return _transact(client, keys, queue)
    result, changed = _recorded(client, keys, queue, recording)
    if not changed:
        recording.unchanged()
    return result


def _transact(client: redis.Redis, keys: tuple[str, ...], queue: Callable[[redis.client.Pipeline], Result]) -> Result:
    with redis_errors(), client.pipeline() as pipe:
        for _ in range(_ATTEMPTS):
            pipe.watch(*keys)
            result = queue(pipe)
            if not pipe.command_stack:
                return result
            try:
                pipe.execute()
                return result
            except redis.WatchError:
                continue
    raise StoreUnavailable(CONTENDED)


def _recorded(
    client: redis.Redis,
    keys: tuple[str, ...],
    queue: Callable[[redis.client.Pipeline], Result],
    recording: Recording,
) -> tuple[Result, bool]:
    """The result, and whether anything was changed and recorded."""
    with redis_errors(), client.pipeline() as pipe:
        for _ in range(_RECORDING_ATTEMPTS):
            pipe.watch(*keys, TRAIL)
            entry = recording.prepare(pipe)
            result = queue(pipe)
            if not pipe.command_stack:
                return result, False
            entry.queue(pipe)
            try:
                pipe.execute()
                entry.done()
                return result, True
            except redis.WatchError:
                continue
    raise StoreUnavailable(CONTENDED)


def read_together(client: redis.Redis, queue: Callable[[redis.client.Pipeline], object]) -> list[Any]:
    """The answers to the commands that `queue` queues, which only read, all at one moment. Raises StoreUnavailable.

    A Redis without any free memory begins no transaction. Nothing is stored then, and the commands are executed one
    after the other: what an erasure removes last must be read last.
    """
    with redis_errors():
        try:
            with client.pipeline() as pipe:
                queue(pipe)
                return pipe.execute()
        except redis.OutOfMemoryError:
            with client.pipeline(transaction=False) as pipe:
                queue(pipe)
                return pipe.execute()
