"""Tell the API's processes what has changed: a stream of what was added, reviewed or removed.

Processes of an earlier version announce nothing. Each process therefore announces at its start that everything is to
be read again, because it may take the place of such a one. A Redis without free memory takes no announcement. Then a
key is deleted instead, and whoever misses it announces, once there is memory, that everything is to be read again.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import redis

from webapp.api.storage.errors import StoreUnavailable
from webapp.api.storage.keys import key_of
from webapp.api.storage.transactions import transact

CHANGES = key_of("changes", "results")
SETTLED = key_of("changes", "settled")  # there is such a key unless an announcement is owed
KEPT = 10_000  # about; the stream is trimmed in whole blocks
_NOWHERE = key_of("changes", "none")  # there is no such stream, and none is made


def announce(pipe: redis.client.Pipeline, identifier: str) -> None:
    """Queue the announcement that a result was added or its reviews changed, in the transaction that does it."""
    _add(pipe, {"id": identifier})


def announce_removal(pipe: redis.client.Pipeline, member: bytes) -> None:
    """Queue the announcement that a result with this member in the index of all results was removed."""
    _add(pipe, {"gone": member})


def announce_everything(client: redis.Redis) -> bool:
    """Announce that everything is to be read again, now or once there is memory for it.

    False if Redis takes no changes, as on a full disk: what is stored can be read all the same.
    """
    with suppress(redis.ResponseError):
        try:
            with client.pipeline() as pipe:
                _add(pipe, {"all": ""})
                pipe.set(SETTLED, "1")
                pipe.execute()
        except redis.OutOfMemoryError:
            owe(client)
        return True
    return False


def owe(client: redis.Redis) -> None:
    """Have it announced later that everything is to be read again; takes no memory."""
    client.delete(SETTLED)


def settle(client: redis.Redis) -> None:
    """Announce what is owed, if there is memory for it and Redis takes changes."""

    def queue(pipe: redis.client.Pipeline) -> None:
        if pipe.get(SETTLED) is None:
            pipe.multi()
            pipe.set(SETTLED, "1")
            _add(pipe, {"all": ""})

    with suppress(StoreUnavailable):
        transact(client, (SETTLED,), queue)


def position(client: redis.Redis) -> str:
    """The last announcement, as a text: another one means that something may have changed. Empty if there is none."""
    newest = client.xrevrange(CHANGES, count=1)
    return newest[0][0].decode("ascii") if newest else ""


def try_to_announce(client: redis.Redis) -> None:
    """Announce nothing; raises redis.RedisError if a change could not be announced."""
    client.xadd(_NOWHERE, {"id": "none"}, nomkstream=True)


def _add(client: redis.Redis, fields: dict) -> None:
    client.xadd(CHANGES, fields, maxlen=KEPT, approximate=True)


@dataclass(frozen=True)
class Changes:
    """What entries of the stream announce: ids of results, members of the index that were removed, everything."""

    identifiers: list[str]
    gone: list[str]
    everything: bool

    @classmethod
    def of(cls, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> "Changes":
        """What these entries announce; each id once."""
        fields = [each for _, each in entries]
        return cls(
            list(dict.fromkeys(each[b"id"].decode("ascii", "replace") for each in fields if b"id" in each)),
            [each[b"gone"].decode("latin-1") for each in fields if b"gone" in each],
            any(b"all" in each for each in fields),
        )
