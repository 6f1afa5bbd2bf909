"""Records as the API makes them, and ways to store and list them."""

import hashlib

from tests.webapp.servers import MAC_KEY, PASSWORD, RedisServer
from webapp.api.settings import StoreSettings
from webapp.api.storage.lists import ListedStore
from webapp.api.storage.records import Record
from webapp.api.storage.store import Store

PICTURE = b"\xff\xd8 a picture \xff\xd9"


def settings(port: int, password: str = PASSWORD) -> StoreSettings:
    """The API's settings for a Redis."""
    return StoreSettings("127.0.0.1", port, "", "api", password, bytes.fromhex(MAC_KEY))


def record(number: int, probability: float | None = 0.75, millisecond: int | None = None) -> Record:
    """A record, with a picture if it has a finding."""
    finding = None if probability is None else "pneumonia" if probability >= 0.5 else "no pneumonia"
    refusal = {"code": "unreadable", "reason": "broken"} if probability is None else None
    moment = number if millisecond is None else millisecond
    prediction = {
        "id": f"{number:032x}",
        "file": f"{number}.png",
        "finding": finding,
        "refusal": refusal,
        "probability": probability,
        "threshold": 0.5,
        "operating_point": {"name": "balanced", "validation": None, "test": None},
        "cautions": [],
        "model": {"name": "m", "version": "v"},
        "input": {"format": "PNG", "width": 9, "height": 9},
        "created": f"2026-01-01T00:00:{moment // 1000:02d}.{moment % 1000:03d}Z",
        "elapsed_ms": 1.5,
    }

    image = {"sha256": hashlib.sha256(PICTURE).hexdigest(), "width": 9, "height": 9} if finding else None
    return Record(prediction, image)


def put(store: Store, *records: Record) -> None:
    """Store records with their pictures."""
    for each in records:
        store.put(each, PICTURE if each.image else None)


def opinions(store: Store, number: int) -> tuple[list[dict], int]:
    """The reviews of the record of that number as they were sent, and how many entries are damaged."""
    reviews, damaged = store.reviews.of(record(number).id)
    return [{name: each[name] for name in each if name not in ("id", "who", "withdrawn")} for each in reviews], damaged


def walk(store: ListedStore, order: str, chosen: str, limit: int) -> list[str]:
    """The file names of all pages in order."""
    names, cursor = [], None
    while True:
        page = store.lists.page(order, chosen, cursor, limit)
        names += [each.prediction["file"] for each in page.records]
        cursor = page.next
        if cursor is None:
            return names


def opened(server: RedisServer) -> ListedStore:
    """The store of another process of the API."""
    return ListedStore.open(settings(server.port))


def ready(store: ListedStore) -> ListedStore:
    """The store, once all rows are read."""
    with store.lists._worklist.rows(120):
        return store
