"""The store, on a real Redis with the project's own configuration and access list."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.webapp.api.records import PICTURE, put, record, walk
from webapp.api.storage import listing
from webapp.api.storage.errors import FeedbackFull, Missing
from webapp.api.storage.records import Record
from webapp.api.storage.store import PROBE_SECONDS


def test_a_stored_record_is_returned(store):
    put(store, record(1), record(2, None))
    assert store.get(record(1).id) == record(1)
    assert store.get(record(2).id).image is None
    assert store.picture(record(1).id) == PICTURE
    with pytest.raises(Missing):
        store.picture(record(2).id)
    with pytest.raises(Missing):
        store.get(record(3).id)


def test_an_unlisted_record_can_be_read_and_expires(store, redis_server):
    store.put(record(1), PICTURE, listed=False)
    assert store.get(record(1).id) == record(1)
    assert store.lists.page("time", "all", None, 10).total == 0
    client = redis_server.client()
    lives = [client.ttl(key) for key in client.scan_iter("pneumo:1:[^c]*")]  # without the changes
    assert len(lives) == 2 and all(0 < life <= PROBE_SECONDS for life in lives)


def test_the_first_record_is_never_replaced(store):
    put(store, record(1, 0.75, millisecond=5))
    again = store.put(record(1, 0.25, millisecond=9), PICTURE)
    assert again == record(1, 0.75, millisecond=5)
    assert store.lists.page("time", "all", None, 10).total == 1
    assert store.lists.page("time", "no pneumonia", None, 10).total == 0


def test_the_same_record_from_many_threads_is_stored_once(store, redis_server):
    ready = threading.Barrier(8)

    def one(millisecond: int) -> Record:
        ready.wait(120)
        return store.put(record(1, 0.75, millisecond=millisecond), PICTURE)

    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(one, range(8)))
    assert all(each == stored[0] for each in stored)
    assert redis_server.client().zcard("pneumo:1:index:time:all") == 1


def test_every_key_has_the_prefix_and_no_file_name(store, redis_server):
    put(store, record(1), record(2, None))
    store.probe()
    store.cache_heatmap(record(1).id, b"png")
    store.reviews.add(record(1).id, {"label": "unsure"})
    names = redis_server.client().keys()
    assert len(names) == 3 + 2 * 3 + 3 + 1
    assert all(name.startswith(b"pneumo:1:") and b"png" not in name for name in names)


def test_orders_and_filters(store):
    put(store, record(1, 0.2), record(2, 0.9), record(3, None), record(4, 0.6), record(5, 0.1))
    assert walk(store, "time", "all", 2) == ["5.png", "4.png", "3.png", "2.png", "1.png"]
    assert walk(store, "probability", "all", 2) == ["2.png", "4.png", "1.png", "5.png", "3.png"]
    assert walk(store, "time", "pneumonia", 1) == ["4.png", "2.png"]
    assert walk(store, "probability", "no pneumonia", 1) == ["1.png", "5.png"]
    assert walk(store, "time", "refused", 5) == ["3.png"]
    assert walk(store, "probability", "refused", 5) == ["3.png"]


def test_ties_are_paged_without_loss(store):
    put(store, *(record(number, 0.5, millisecond=7) for number in range(1, 12)))
    for order in listing.ORDERS:
        names = walk(store, order, "all", 3)
        assert sorted(names) == sorted(f"{number}.png" for number in range(1, 12))
        assert names == walk(store, order, "all", 4)


def test_paging_is_stable_while_records_are_added(store):
    put(store, *(record(number, 0.5) for number in range(10, 16)))
    first = store.lists.page("time", "all", None, 3)
    put(store, *(record(number, 0.5) for number in range(16, 30)))  # newer: before the first page
    put(store, record(1, 0.5))  # older: after the last page
    second = store.lists.page("time", "all", first.next, 3)
    third = store.lists.page("time", "all", second.next, 3)
    names = [each.prediction["file"] for page in (first, second, third) for each in page.records]
    assert names == ["15.png", "14.png", "13.png", "12.png", "11.png", "10.png", "1.png"]
    assert third.next is None


def test_a_cursor_works_after_its_entry_was_deleted(store, redis_server):
    put(store, *(record(number) for number in range(1, 5)))
    first = store.lists.page("time", "all", None, 2)
    gone = first.records[-1]
    redis_server.client().zrem("pneumo:1:index:time:all", listing.member("time", gone.prediction))
    assert [each.prediction["file"] for each in store.lists.page("time", "all", first.next, 2).records] == [
        "2.png",
        "1.png",
    ]


def test_feedback_is_sealed_per_entry_and_limited(store, redis_server):
    put(store, record(1))
    for number in range(50):
        store.reviews.add(record(1).id, {"label": "unsure", "comment": str(number)})
    with pytest.raises(FeedbackFull):
        store.reviews.add(record(1).id, {"label": "unsure"})
    client, key = redis_server.client(), f"pneumo:1:feedback:{record(1).id}"
    client.lset(key, 1, client.lindex(key, 1).replace(b"unsure", b"healed"))
    entries, damaged = store.reviews.of(record(1).id)
    assert (len(entries), damaged) == (49, 1)
    assert entries[0]["comment"] == "0"
    with pytest.raises(Missing):
        store.reviews.add(record(2).id, {"label": "unsure"})


def test_a_heatmap_expires_and_a_damaged_one_is_ignored(store, redis_server):
    put(store, record(1))
    store.cache_heatmap(record(1).id, b"png")
    assert store.heatmap(record(1).id) == b"png"
    key, client = f"pneumo:1:heatmap:{record(1).id}", redis_server.client()
    assert 0 < client.ttl(key) <= 3600
    client.append(key, b"x")
    assert store.heatmap(record(1).id) is None
    assert store.heatmap(record(2).id) is None


def test_ids_returns_every_record(store):
    put(store, *(record(number) for number in range(1, 40)))
    assert set(store.ids()) == {record(number).id for number in range(1, 40)}
