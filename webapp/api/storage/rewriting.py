"""Have Redis write its file anew: it is a log of all changes, and holds what was erased until then.

The user of the API has no right to that; see templates/redis/users.acl.j2.
"""

import time
from dataclasses import replace

import redis

from webapp.api.settings import StoreSettings
from webapp.api.storage.connection import HUNG_SECONDS, connect
from webapp.api.storage.errors import StoreUnavailable, redis_errors

USER = "rewriter"
_POLL_S = 0.1
_RUNS = "already in progress"  # Redis began one since it was asked: after the erasure, then


class NotRewritten(StoreUnavailable):
    """The file of Redis may still hold what was erased; the message is the reason."""


def rewrite(settings: StoreSettings, password: str, limit_s: float) -> None:
    """Order it and wait for its end, at most `limit_s` seconds altogether. Raises StoreUnavailable.

    `password`: that of USER.
    """
    client, deadline = connect(replace(settings, username=USER, password=password)), time.monotonic() + limit_s
    with redis_errors():
        _wait(client, deadline)  # for one that began before the erasure
        try:
            client.bgrewriteaof()
        except redis.ResponseError as error:
            if _RUNS not in str(error):
                raise
        if _wait(client, deadline)["aof_last_bgrewrite_status"] != "ok":
            raise NotRewritten("Redis failed to write its file anew")


def _wait(client: redis.Redis, deadline: float) -> dict[str, object]:
    """What Redis says of its file once it does not rewrite it. On a busy disk it may not answer for some seconds."""
    heard = time.monotonic()
    while True:
        try:
            said: dict[str, object] = client.info("persistence")
            heard = time.monotonic()
            if not (said["aof_rewrite_in_progress"] or said["aof_rewrite_scheduled"]):
                return said
        except redis.TimeoutError:
            if time.monotonic() >= heard + HUNG_SECONDS:
                raise
        if time.monotonic() >= deadline:
            raise NotRewritten("Redis still writes its file anew")
        time.sleep(_POLL_S)
