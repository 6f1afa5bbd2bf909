"""The errors of the store, and those of Redis in words."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis

CONTENDED = "others change the same record all the time"


class StoreUnavailable(Exception):
    """Redis does not answer, rejects the login, is full, or cannot write; the message quotes nothing of its answer."""


class StoreFull(StoreUnavailable):
    """Redis has no memory left for another result; what is stored can be read and erased."""


class TrailUnavailable(StoreUnavailable):
    """The trail of clinical acts can neither be read nor written, although Redis answers."""


class NoTrail(TrailUnavailable):
    """Redis does not let its user use the trail, as in a stack of an earlier version."""


class Unlistable(StoreUnavailable):
    """What is stored cannot be listed, although Redis answers; the message is the kind of the error."""


class ClockWrong(StoreUnavailable):
    """A clock is wrong, so that it cannot be told what has expired; the message says how."""


class Missing(Exception):
    """Nothing is stored under that id."""


class Expired(Missing):
    """What was stored under that id is older than results are kept."""


class Damaged(Exception):
    """The stored bytes were changed; the message is their key."""


class PictureDamaged(Damaged):
    """The stored picture of an intact record is lost or was changed; the message is its key."""


class NotRead(Exception):
    """This process has not read all results yet: `read` of `results`."""

    def __init__(self, read: int, results: int) -> None:
        super().__init__(f"{read} of {results} results are read")
        self.read = read
        self.results = results


class NotAuthor(Exception):
    """A review may only be withdrawn by whoever made it, or by an admin."""


class FeedbackFull(Exception):
    """A prediction has the maximum number of feedback entries."""


_REASONS = (  # the first class that fits
    (redis.AuthenticationError, "Redis rejects the login"),
    (redis.BusyLoadingError, "Redis is still loading its data"),
    (redis.TimeoutError, "Redis does not answer in time"),
    (redis.ConnectionError, "Redis cannot be reached"),
    (redis.exceptions.NoPermissionError, "Redis gives the API no right to do this; `pneumoctl up` gives it"),
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
    except redis.OutOfMemoryError as error:
        raise StoreFull("the store is full") from error
    except redis.RedisError as error:
        raise StoreUnavailable(reason(error)) from error


@contextmanager
def trail_errors() -> Iterator[None]:
    """Translate the errors of Redis where the trail is read or written."""
    with redis_errors():
        try:
            yield
        except redis.OutOfMemoryError:
            raise
        except redis.exceptions.NoPermissionError as error:
            raise NoTrail(reason(error)) from error
        except redis.ResponseError as error:
            raise TrailUnavailable(reason(error)) from error
