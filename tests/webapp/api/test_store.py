"""The store, on a real Redis with the project's own configuration and access list."""

import hashlib
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.webapp.servers import MAC_KEY, PASSWORD, RedisServer
from webapp.api import listing
from webapp.api.settings import StoreSettings
from webapp.api.store import Damaged, Full, Missing, Record, Store, StoreUnavailable

PICTURE = b"\xff\xd8 a picture \xff\xd9"


def settings(port: int, password: str = PASSWORD) -> StoreSettings:
    """How the API reaches a Redis."""
    return StoreSettings("127.0.0.1", port, "api", password, bytes.fromhex(MAC_KEY))


def record(number: int, probability: float | None = 0.75, millisecond: int | None = None) -> Record:
    """A record, with a picture when it has a finding."""
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
        "model": {"name": "m", "version": "v"},
        "input": {"format": "PNG", "width": 9, "height": 9},
        "created": f"2026-01-01T00:00:{moment // 1000:02d}.{moment % 1000:03d}Z",
        "elapsed_ms": 1.5,
    }

    image = {"sha256": hashlib.sha256(PICTURE).hexdigest(), "width": 9, "height": 9} if finding else None
    return Record(prediction, image)


@pytest.fixture
def store(redis_server: RedisServer) -> Store:
    """A store on an empty Redis."""
    return Store.open(settings(redis_server.port))


def put(store: Store, *records: Record) -> None:
    """Keep records with their pictures."""
    for each in records:
        store.put(each, PICTURE if each.image else None)


def walk(store: Store, order: str, chosen: str, limit: int) -> list[str]:
    """File names of all pages, one after the other."""
    names, cursor = [], None
    while True:
        page = store.page(order, chosen, cursor, limit)
        names += [each.prediction["file"] for each in page.records]
        cursor = page.next
        if cursor is None:
            return names


def test_what_was_put_comes_back(store):
    put(store, record(1), record(2, None))
    assert store.get(record(1).id) == record(1)
    assert store.get(record(2).id).image is None
    assert store.picture(record(1).id) == PICTURE
    with pytest.raises(Missing):
        store.picture(record(2).id)
    with pytest.raises(Missing):
        store.get(record(3).id)


def test_the_first_record_stays(store):
    put(store, record(1, 0.75, millisecond=5))
    again = store.put(record(1, 0.25, millisecond=9), PICTURE)
    assert again == record(1, 0.75, millisecond=5)
    assert store.page("time", "all", None, 10).total == 1
    assert store.page("time", "no pneumonia", None, 10).total == 0


def test_the_same_record_from_many_threads_is_stored_once(store, redis_server):
    ready = threading.Barrier(8)

    def one(millisecond: int) -> Record:
        ready.wait(10)
        return store.put(record(1, 0.75, millisecond=millisecond), PICTURE)

    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(one, range(8)))
    assert all(each == kept[0] for each in kept)
    assert redis_server.client().zcard("pneumo:1:index:time:all") == 1


def test_every_key_has_our_prefix_and_none_a_file_name(store, redis_server):
    put(store, record(1), record(2, None))
    store.probe()
    store.keep_heatmap(record(1).id, b"png")
    store.add_feedback(record(1).id, {"label": "unsure"})
    names = redis_server.client().keys()
    assert len(names) == 3 + 2 * 3 + 3
    assert all(name.startswith(b"pneumo:1:") and b"png" not in name for name in names)


@pytest.mark.parametrize("position", [0, 63, 64, 90, -1])
def test_a_flipped_byte_makes_a_record_damaged_and_spares_the_list(store, redis_server, position):
    put(store, record(1), record(2), record(3))
    key, client = f"pneumo:1:record:{record(2).id}", redis_server.client()
    value = bytearray(client.get(key))
    value[position] ^= 1
    client.set(key, bytes(value))
    with pytest.raises(Damaged):
        store.get(record(2).id)
    with pytest.raises(Damaged):
        store.put(record(2), PICTURE)
    with pytest.raises(Damaged):
        store.picture(record(2).id)
    with pytest.raises(Damaged):
        store.add_feedback(record(2).id, {"label": "unsure"})
    page = store.page("time", "all", None, 10)
    assert [each.prediction["file"] for each in page.records] == ["3.png", "1.png"]
    assert page.damaged == [record(2).id]


def test_the_probability_that_the_facts_tell_of(store, redis_server):
    """One digit changed inside the append-only file came back as another probability: not here."""
    put(store, record(1, 0.825))
    key, client = f"pneumo:1:record:{record(1).id}", redis_server.client()
    client.set(key, client.get(key).replace(b"0.825", b"0.125"))
    with pytest.raises(Damaged):
        store.get(record(1).id)


def test_a_record_under_another_id_is_damaged(store, redis_server):
    put(store, record(1, 0.9), record(2, 0.1))
    client = redis_server.client()
    client.set(f"pneumo:1:record:{record(1).id}", client.get(f"pneumo:1:record:{record(2).id}"))
    with pytest.raises(Damaged):
        store.get(record(1).id)


def test_a_record_that_vanished_is_named_and_not_skipped_silently(store, redis_server):
    put(store, record(1), record(2))
    redis_server.client().delete(f"pneumo:1:record:{record(1).id}")
    page = store.page("time", "all", None, 10)
    assert (len(page.records), page.damaged) == (1, [record(1).id])


def test_another_key_opens_nothing(store, redis_server):
    put(store, record(1))
    stranger = Store(redis_server.client(), b"x" * 32)
    with pytest.raises(Damaged):
        stranger.get(record(1).id)


def test_a_damaged_picture_is_not_shown(store, redis_server):
    put(store, record(1))
    redis_server.client().setrange(f"pneumo:1:image:{record(1).id}", 3, b"X")
    with pytest.raises(Damaged):
        store.picture(record(1).id)
    redis_server.client().delete(f"pneumo:1:image:{record(1).id}")
    with pytest.raises(Damaged):
        store.picture(record(1).id)


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


def test_paging_is_stable_while_others_store(store):
    put(store, *(record(number, 0.5) for number in range(10, 16)))
    first = store.page("time", "all", None, 3)
    put(store, *(record(number, 0.5) for number in range(16, 30)))  # newer: above the first page
    put(store, record(1, 0.5))  # older: below the last
    second = store.page("time", "all", first.next, 3)
    third = store.page("time", "all", second.next, 3)
    names = [each.prediction["file"] for page in (first, second, third) for each in page.records]
    assert names == ["15.png", "14.png", "13.png", "12.png", "11.png", "10.png", "1.png"]
    assert third.next is None


def test_a_cursor_works_after_its_own_entry_is_gone(store, redis_server):
    put(store, *(record(number) for number in range(1, 5)))
    first = store.page("time", "all", None, 2)
    gone = first.records[-1]
    redis_server.client().zrem("pneumo:1:index:time:all", listing.member("time", gone.prediction))
    assert [each.prediction["file"] for each in store.page("time", "all", first.next, 2).records] == ["2.png", "1.png"]


def test_feedback_is_sealed_one_by_one_and_bounded(store, redis_server):
    put(store, record(1))
    for number in range(50):
        store.add_feedback(record(1).id, {"label": "unsure", "comment": str(number)})
    with pytest.raises(Full):
        store.add_feedback(record(1).id, {"label": "unsure"})
    client, key = redis_server.client(), f"pneumo:1:feedback:{record(1).id}"
    client.lset(key, 1, client.lindex(key, 1).replace(b"unsure", b"healed"))
    entries, damaged = store.feedback(record(1).id)
    assert (len(entries), damaged) == (49, 1)
    assert entries[0]["comment"] == "0"
    with pytest.raises(Missing):
        store.add_feedback(record(2).id, {"label": "unsure"})


def test_a_heatmap_expires_and_a_damaged_one_is_as_none(store, redis_server):
    store.keep_heatmap(record(1).id, b"png")
    assert store.heatmap(record(1).id) == b"png"
    key, client = f"pneumo:1:heatmap:{record(1).id}", redis_server.client()
    assert 0 < client.ttl(key) <= 3600
    client.append(key, b"x")
    assert store.heatmap(record(1).id) is None
    assert store.heatmap(record(2).id) is None


def test_all_ids_are_found(store):
    put(store, *(record(number) for number in range(1, 40)))
    assert set(store.ids()) == {record(number).id for number in range(1, 40)}


def test_killed_and_started_again_it_keeps_all(own_redis):
    store = Store.open(settings(own_redis.port))
    put(store, *(record(number) for number in range(1, 21)))
    own_redis.kill()
    with pytest.raises(StoreUnavailable):
        store.get(record(1).id)
    with pytest.raises(StoreUnavailable):
        put(store, record(21))
    with pytest.raises(StoreUnavailable):
        store.page("time", "all", None, 5)
    own_redis.start()
    assert walk(store, "time", "all", 7) == [f"{number}.png" for number in range(20, 0, -1)]
    assert store.picture(record(20).id) == PICTURE
    put(store, record(21))


def test_a_full_store_takes_nothing_rather_than_a_part(tmp_path):
    server = RedisServer(tmp_path / "small", memory_mb=3)
    server.start()
    try:
        store, client = Store.open(settings(server.port)), server.client()
        with pytest.raises(StoreUnavailable):
            for number in range(1, 100):
                store.put(record(number), b"x" * 500_000)
        kept = set(store.ids())
        assert 1 <= len(kept) < 20
        assert client.zcard("pneumo:1:index:time:all") == len(kept) == len(client.keys("pneumo:1:image:*"))
        assert len(store.page("time", "all", None, 50).records) == len(kept)
        with pytest.raises(StoreUnavailable):
            store.probe()
    finally:
        server.kill()


def test_strangers_are_not_let_in_and_the_reason_says_no_secret(redis_server):
    store = Store.open(settings(redis_server.port, "a-wrong-password"))
    with pytest.raises(StoreUnavailable) as caught:
        store.probe()
    assert "wrong" not in str(caught.value)


def test_a_redis_that_hangs_is_given_up(own_redis):

    store = Store.open(settings(own_redis.port))
    store.probe()
    own_redis.process.send_signal(signal.SIGSTOP)
    start = time.monotonic()
    try:
        with pytest.raises(StoreUnavailable):
            store.get(record(1).id)
    finally:
        own_redis.process.send_signal(signal.SIGCONT)
    assert time.monotonic() - start < 8


def test_no_key_is_ever_searched_by_a_blocking_pattern():
    source = Path(listing.__file__).with_name("store.py").read_text()
    assert ".keys(" not in source
