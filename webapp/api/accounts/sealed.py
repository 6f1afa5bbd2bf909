"""Documents of accounts in Redis, sealed like records: a role that was changed in Redis is not believed."""

import hashlib
import json
import secrets
from collections.abc import Iterator
from typing import Any

import redis

from webapp.api.storage.errors import Damaged, redis_errors
from webapp.api.storage.keys import key_of
from webapp.api.storage.seal import Seal, SealBroken, serialize

_BATCH = 500  # keys of one request


def opened(seal: Seal, key: str, value: bytes | None) -> dict[str, Any] | None:
    """The document in a value of Redis; None if there is no value. Raises Damaged."""
    if value is None:
        return None
    try:
        document: dict[str, Any] = json.loads(seal.open(key, value))
    except (SealBroken, ValueError) as error:
        raise Damaged(key) from error
    return document


def closed(seal: Seal, key: str, document: object) -> bytes:
    """The value of Redis for a document."""
    return seal.close(key, serialize(document))


def names_of(client: redis.Redis, kind: str) -> list[str]:
    """The names of all keys of a kind, sorted. Raises StoreUnavailable."""
    return sorted(set(_scan(client, kind)))


def _scan(client: redis.Redis, kind: str) -> Iterator[str]:
    prefix = key_of(kind, "")
    with redis_errors():
        for key in client.scan_iter(match=f"{prefix}*", count=_BATCH):
            yield key.decode("ascii", "replace").removeprefix(prefix)


def new_token() -> str:
    """An unguessable text of 43 characters, for an address or a header."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """What is stored of a token. It is as unguessable as the token, so it needs no slow hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
