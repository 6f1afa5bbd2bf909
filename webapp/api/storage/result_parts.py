"""The parts of a result in Redis: its keys and its index entries, and how they are found and erased."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

import redis

from webapp.api.storage import listing
from webapp.api.storage.changes import announce_removal, owe
from webapp.api.storage.keys import index_of, key_of
from webapp.api.storage.records import Record

FIRST = ("time", "all")  # every listed result is in this index
REST = tuple((order, each) for order in listing.ORDERS for each in listing.FILTERS if (order, each) != FIRST)
_PARTS = ("record", "image", "film", "heatmap", "feedback")
_CREATED = re.compile(rb'"created":"([0-9T:.+Z-]{10,40})"')
Entry = tuple[str, bytes]  # index and member
Entries = list[Entry]


def queue_erasure(pipe: redis.client.Pipeline, identifier: str, entries: Entries, announced: bool = True) -> None:
    """Queue the commands that erase a result: no list may name it once its record is gone.

    It is not `announced` at once where there is no memory or no right to do that.
    """
    for index, member in entries:
        pipe.zrem(index, member)
    pipe.delete(*(key_of(part, identifier) for part in _PARTS))
    queue_removals(pipe, [member for index, member in entries if index == index_of(*FIRST)], announced)


def queue_removals(pipe: redis.client.Pipeline, members: Iterable[bytes], announced: bool) -> None:
    """Queue the announcement that these members of the first index were removed, or have it made later."""
    for member in members:
        if announced:
            announce_removal(pipe, member)
        else:
            owe(pipe)


def entries_of(record: Record) -> Entries:
    """The index entries of an intact record."""
    return [
        (index_of(order, chosen), member.encode("ascii"))
        for order, chosen, member in listing.memberships(record.prediction)
    ]


def left_over(pipe: redis.client.Pipeline, identifier: str) -> bool:
    """Whether there is a picture, a film, a heat map or a review; its record may be lost."""
    pictures = pipe.mget([key_of(part, identifier) for part in ("image", "film", "heatmap")])
    return any(each is not None for each in pictures) or pipe.llen(key_of("feedback", identifier)) > 0


def said_by(damaged: bytes) -> float | None:
    """When a damaged record says that it was made, in microseconds since 1970; None if it does not say it.

    What it says is not sealed, and serves to erase it, never to show it. A record is damaged, too, if this host has
    another key.
    """
    said = _CREATED.search(damaged)
    try:
        return None if said is None else datetime.fromisoformat(said[1].decode()).timestamp() * 1_000_000
    except ValueError:
        return None


def search(pipe: redis.client.Pipeline, identifier: str, indexes: Iterable[tuple[str, str]]) -> Iterator[Entry]:
    """The entries of a result in indexes, found by reading them."""
    end = f":{identifier}".encode()
    for order, chosen in indexes:
        index = index_of(order, chosen)
        for member in pipe.zrevrangebylex(index, "+", "-"):
            if member.endswith(end):
                yield index, member
