"""Tell the API's processes what has changed: a stream of the ids of results that were added or reviewed.

What was removed is missing in the index of all results; that needs no word, and a full Redis would take none.
"""

import redis

from webapp.api.storage.keys import key_of

CHANGES = key_of("changes", "results")
KEPT = 10_000  # about; the stream is trimmed in whole blocks
_NOWHERE = key_of("changes", "none")  # there is no such stream, and none is made


def announce(pipe: redis.client.Pipeline, identifier: str) -> None:
    """Queue the announcement that a result was added or its reviews changed, in the transaction that does it."""
    pipe.xadd(CHANGES, {"id": identifier}, maxlen=KEPT, approximate=True)


def try_to_announce(client: redis.Redis) -> None:
    """Announce nothing; raises redis.RedisError if a change could not be announced."""
    client.xadd(_NOWHERE, {"id": "none"}, nomkstream=True)
