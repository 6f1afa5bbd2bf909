"""The error of a store that cannot be used, and the errors of Redis in words."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis

CONTENDED = "others change the same record all the time"


class StoreUnavailable(Exception):
    """Redis does not answer, rejects the login, is full, or cannot write; the message quotes nothing of its answer."""


_REASONS = (  # the first class that fits
    (redis.AuthenticationError, "Redis rejects the login"),
    (redis.BusyLoadingError, "Redis is still loading its data"),
    (redis.TimeoutError, "Redis does not answer in time"),
    (redis.ConnectionError, "Redis cannot be reached"),
    (redis.OutOfMemoryError, "Redis is full"),
    (redis.ReadOnlyError, "Redis takes no changes"),
    (redis.ResponseError, "Redis refuses the command"),
)


def reason(error: redis.RedisError) -> str:
    """The kind of error in words, without what Redis has answered."""
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "Redis failed")


@contextmanager
def redis_errors() -> Iterator[None]:
    """Translate the errors of Redis."""
    try:
        yield
    except redis.RedisError as error:
        raise StoreUnavailable(reason(error)) from error
