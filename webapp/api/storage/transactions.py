"""Change several keys of the store at once, or none of them; read several keys at one moment."""

from collections.abc import Callable
from typing import Any, TypeVar

import redis

from webapp.api.storage.errors import CONTENDED, StoreUnavailable, redis_errors

Result = TypeVar("Result")
_ATTEMPTS = 5


def transact(client: redis.Redis, keys: tuple[str, ...], queue: Callable[[redis.client.Pipeline], Result]) -> Result:
    """The result of `queue`, once the commands that it queued were executed while none of the keys changed.

    `queue` reads the keys, calls `multi` and queues commands; it is called again if a key changed meanwhile. Nothing is
    executed if it queues nothing. Raises StoreUnavailable.
    """
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
