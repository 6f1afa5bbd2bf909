"""Find the last entry of a trail, also where entries before it were removed."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import redis

from webapp.api.storage.keys import TRAIL
from webapp.api.storage.seal import DIGITS

AHEAD = 64  # entries that are looked for at once after the last one that is known
_FAR = [AHEAD * 2**power for power in range(1, 20)]  # how far beyond it the end is looked for, too
_LONGEST = 15  # digits of a number


@dataclass(frozen=True)
class Head:
    """The number and the hash of the last entry; 0 and empty before the first one."""

    n: int = 0
    hash: str = ""


def hash_of(sealed: bytes) -> str:
    """The hash of an entry, which the next one has; a seal by another key does not change it."""
    return hashlib.sha256(sealed[DIGITS:]).hexdigest()


def numbers(after: int, count: int) -> list[str]:
    """The names of the next entries."""
    return [str(n) for n in range(after + 1, after + count + 1)]


def follow(client: redis.Redis, head: Head, key: str = TRAIL, added: Sequence[bytes | None] = ()) -> Head:
    """The last entry, from one before it on; `added`: those after it, as far as they were read."""
    while True:
        added = added or client.hmget(key, numbers(head.n, AHEAD))
        for sealed in added:
            if sealed is None:
                return head
            head = Head(head.n + 1, hash_of(sealed))
        added = ()


def last(client: redis.Redis, key: str, intact: Callable[[int, bytes], bool]) -> Head:
    """The last entry, found by the number of entries; where some were removed, by the names of all.

    The names of a million entries occupy Redis for a second: they are read only if entries are missing.
    intact: whether an entry, by its number, is as it was sealed.
    """
    length = client.hlen(key)
    if not length:
        return Head()
    found, *far = client.hmget(key, [str(length), *(str(length + step) for step in _FAR)])
    head = follow(client, Head(length, hash_of(found) if found is not None else ""), key)
    whole = found is not None and head.n == length and not any(far)
    return head if whole else follow(client, _beyond(client, key, head, intact), key)


def _beyond(client: redis.Redis, key: str, head: Head, intact: Callable[[int, bytes], bool]) -> Head:
    """The last entry that is intact, if it stands beyond `head`; what is not may have any number."""
    try:
        names = client.hkeys(key)
    except redis.exceptions.NoPermissionError:  # the rights of an earlier version
        return head
    found = (int(name) for name in names if name.isdigit() and len(name) <= _LONGEST)
    later = sorted((n for n in found if n > head.n), reverse=True)
    for start in range(0, len(later), AHEAD):
        batch = later[start : start + AHEAD]
        for n, sealed in zip(batch, client.hmget(key, list(map(str, batch))), strict=True):
            if sealed is not None and intact(n, sealed):
                return Head(n, hash_of(sealed))
    return head
