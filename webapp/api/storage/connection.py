"""Connect to Redis, and wait for it."""

import time

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from webapp.api.settings import StoreSettings
from webapp.api.storage.errors import StoreUnavailable, reason

_TIMEOUT = 2.0  # seconds; Redis is on the same network and answers within milliseconds or not at all
_POLL_SECONDS = 0.2  # between two attempts to reach Redis
HUNG_SECONDS = 10.0  # without any answer; a Redis that loads its file says so


def connect(settings: StoreSettings) -> redis.Redis:
    """A client that connects when it is first used."""
    return redis.Redis(
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


def wait(client: redis.Redis, seconds: float) -> None:
    """Wait until Redis answers. Raises StoreUnavailable after `seconds`, earlier if it hangs or rejects the login."""
    heard = time.monotonic()
    deadline = heard + seconds
    while True:
        try:
            client.ping()
            return
        except redis.RedisError as error:
            now, hangs = time.monotonic(), isinstance(error, redis.TimeoutError)
            heard = heard if hangs else now
            transient = isinstance(error, redis.ConnectionError) or (hangs and now < heard + HUNG_SECONDS)
            if not transient or isinstance(error, redis.AuthenticationError) or now >= deadline:
                raise StoreUnavailable(reason(error)) from error
        time.sleep(_POLL_SECONDS)
