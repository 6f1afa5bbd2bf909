"""A result is erased, or expires, with everything that belongs to it, and no reader ever sees a half of it."""

import random
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import date

import pytest

from tests.webapp.api.records import PICTURE, put, record, settings, walk
from tests.webapp.servers import MAC_KEY, RedisServer
from webapp.api.storage import listing
from webapp.api.storage.changes import CHANGES, SETTLED
from webapp.api.storage.errors import CONTENDED, ClockWrong, FeedbackFull, Missing, StoreFull
from webapp.api.storage.keys import index_of
from webapp.api.storage.listing import Filters
from webapp.api.storage.lists import ListedStore
from webapp.api.storage.records import Record
from webapp.api.storage.retention import Retention
from webapp.api.storage.seal import Seal
from webapp.api.storage.store import Store
from webapp.api.storage.store_copy import StoreCopy

ERASED = "pneumo:1:erased"
MADE = 1767225600.001  # seconds; when record(1) was made
DAY = 86400


def keys(server: RedisServer) -> set[str]:
    """The keys of the store, without the ids of what was erased and of what has changed."""
    return {key.decode() for key in server.client().keys("*")} - {ERASED, CHANGES, SETTLED}


def complete(store: Store, *records: Record) -> None:
    """Store records with all that a result may have."""
    put(store, *records)
    for each in records:
        store.reviews.add(each.id, {"label": "unsure", "created": "2026"})
        store.cache_heatmap(each.id, b"png")


class CopiedAndListed(StoreCopy, ListedStore):
    """A store with both of what it is used for."""


class Clock:
    """A store that keeps results for 30 days. `now`: the time on its host; time passes there and in Redis alike.

    `host` and `redis`: seconds by which the two clocks were set ahead.
    """

    def __init__(self, server: RedisServer, host: float = 0, redis: float = 0) -> None:
        self.passed, self.host, self.redis = MADE, host, redis
        client = server.client()
        client.time = lambda: divmod(round((self.passed + self.redis) * 1_000_000), 1_000_000)
        retention = Retention(30, lambda: self.now, lambda: self.passed)
        self.store = CopiedAndListed(client, Seal(bytes.fromhex(MAC_KEY)), retention)

    @property
    def now(self) -> float:
        return self.passed + self.host

    @now.setter
    def now(self, moment: float) -> None:
        self.passed = moment


@pytest.fixture
def clock(redis_server: RedisServer) -> Clock:
    """A store on an empty Redis, and its clock."""
    return Clock(redis_server)


def test_an_erased_result_leaves_nothing_and_the_others_stay(store, redis_server):
    complete(store, record(1))
    before = keys(redis_server)
    complete(store, record(2, 0.1), record(3, None))
    assert store.eraser.erase(record(2).id) == store.eraser.erase(record(3).id) == "erased"
    assert keys(redis_server) == before
    assert (walk(store, "time", "all", 5), walk(store, "probability", "all", 5)) == (["1.png"], ["1.png"])
    assert store.lists.page("time", "all", None, 5).total == 1
    with pytest.raises(Missing, match="was erased"):
        store.get(record(2).id)
    for read in (store.picture, store.reviews.of, lambda each: store.reviews.add(each, {"label": "unsure"})):
        with pytest.raises(Missing):
            read(record(2).id)
    store.cache_heatmap(record(2).id, b"png")  # computed while the result was erased
    assert keys(redis_server) == before
    assert store.eraser.erase(record(2).id) == "before"
    assert store.eraser.erase(record(9).id) == "unknown"
    with pytest.raises(Missing, match=r"^There is no result with that id\.$"):
        store.get(record(9).id)


@pytest.mark.parametrize("harm", ["damaged", "gone"])
def test_a_result_whose_record_cannot_be_read_is_erased_too(store, redis_server, harm):
    complete(store, record(1))
    before = keys(redis_server)
    complete(store, record(2))
    key, client = f"pneumo:1:record:{record(2).id}", redis_server.client()
    client.append(key, b"x") if harm == "damaged" else client.delete(key)
    assert store.lists.page("time", "all", None, 5).damaged == [record(2).id]
    assert store.eraser.erase(record(2).id) == "erased"
    assert keys(redis_server) == before
    assert client.zcard("pneumo:1:index:probability:pneumonia") == 1
    assert store.lists.page("time", "all", None, 5).damaged == []


def test_an_erased_result_that_is_sent_again_is_new(store):
    complete(store, record(1))
    store.eraser.erase(record(1).id)
    put(store, record(1))
    assert store.get(record(1).id) == record(1)
    assert store.reviews.of(record(1).id) == ([], 0) and store.heatmap(record(1).id) is None


def test_a_full_store_is_erased_from(tmp_path):
    server = RedisServer(tmp_path / "small", memory_mb=3)
    server.start()
    try:
        store = ListedStore.open(settings(server.port))
        with pytest.raises(StoreFull):
            for number in range(1, 100):
                store.put(record(number), b"x" * 200_000)
        server.client().config_set("maxmemory", server.client().info("memory")["used_memory"] // 2)
        first, second = sorted(store.ids())[:2]
        assert store.eraser.erase(first) == "erased"  # there is still no memory for its note
        server.client().config_set("maxmemory", "3mb")
        assert store.eraser.erase(second) == "erased"
        assert store.eraser.erased() == [second]
        put(store, record(200))
        put(store, record(201))
        for order, chosen, member in listing.memberships(record(201).prediction):
            server.client().zrem(index_of(order, chosen), member)
        server.client().config_set("maxmemory", server.client().info("memory")["used_memory"] // 2)
        expiring = ListedStore(server.client(), Seal(bytes.fromhex(MAC_KEY)), Retention(1))
        while expiring.eraser.erase_expired(2):
            assert expiring.lists.page("time", "all", None, 100).damaged == []
        assert expiring.eraser.erase_unlisted() == 1  # of January, and in no list
        assert keys(server) == set()
    finally:
        server.kill()


def test_no_reader_sees_a_half_of_a_result(store, redis_server):
    """Threads store, review, erase and read the same few results at random."""
    records, ended, wrong = [record(number) for number in range(1, 5)], threading.Event(), []

    def change(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(150):
            each = draw.choice(records)
            try:
                draw.choice((complete, put, lambda store, each: store.eraser.erase(each.id)))(store, each)
            except (Missing, FeedbackFull):  # erased by another thread; reviewed by all
                continue
            except Exception as error:  # the others changed the same record all the time
                if str(error) != CONTENDED:
                    wrong.append(error)

    def read() -> None:
        while not ended.is_set():
            wrong.extend(store.lists.page("time", "all", None, 5).damaged)
            for each in records:
                try:
                    assert store.picture(each.id) == PICTURE
                except Missing:
                    continue
                except Exception as error:
                    wrong.append(error)

    changing = [threading.Thread(target=change, args=(seed,)) for seed in range(3)]
    reader = threading.Thread(target=read)
    for thread in (*changing, reader):
        thread.start()
    for thread in changing:
        thread.join()
    ended.set()
    reader.join()
    assert wrong == []
    for each in records:
        store.eraser.erase(each.id)  # nobody else changes anything now
    assert keys(redis_server) == set()


def test_a_result_expires_at_once_with_all_its_parts(clock, redis_server):
    complete(clock.store, record(1), record(2, 0.1))
    stored = keys(redis_server)
    clock.now = MADE + 30 * DAY - 0.001
    assert clock.store.picture(record(1).id) == PICTURE
    assert walk(clock.store, "time", "all", 5) == ["2.png", "1.png"]
    clock.now = MADE + 30 * DAY
    for read in (clock.store.get, clock.store.picture, clock.store.reviews.of):
        with pytest.raises(Missing, match="expired: results are kept for 30 days"):
            read(record(1).id)
    with pytest.raises(Missing):
        clock.store.reviews.add(record(1).id, {"label": "unsure"})
    for order in listing.ORDERS:
        page = clock.store.lists.page(order, "all", None, 5)
        assert ([each.id for each in page.records], page.damaged) == ([record(2).id], [])
        assert clock.store.lists.page(order, "all", None, 5, Filters(since=date(2026, 1, 1))).total == 1
    assert keys(redis_server) == stored  # no read erases: the API does, when it looks for expired results
    assert clock.store.eraser.erase_expired(5) == 1
    assert not [key for key in keys(redis_server) if record(1).id in key]
    with pytest.raises(Missing, match=r"no result .* It may have expired: results are kept for 30 days\."):
        clock.store.get(record(1).id)
    assert clock.store.eraser.erased() == []  # nobody has erased it


def test_expired_results_are_left_out_until_they_are_erased(clock):
    put(clock.store, *(record(number) for number in range(1, 6)))
    clock.now = MADE + 0.002 + 30 * DAY  # the first three
    for order in listing.ORDERS:
        assert sorted(walk(clock.store, order, "all", 2)) == ["4.png", "5.png"]


def test_all_that_has_expired_is_erased_in_batches(clock, redis_server):
    put(clock.store, *(record(number, millisecond=0) for number in range(1, 8)))
    redis_server.client().append(f"pneumo:1:record:{record(2).id}", b"damaged")
    redis_server.client().delete(f"pneumo:1:record:{record(3).id}")
    clock.now = MADE + 30 * DAY
    numbers = [clock.store.eraser.erase_expired(3) for _ in range(4)]
    assert (numbers, keys(redis_server)) == ([3, 2, 1, 0], set())  # one has no record


def test_a_picture_that_is_sent_again_after_it_expired_is_a_new_result(clock, redis_server):
    complete(clock.store, record(1))
    clock.now = MADE + 40 * DAY
    again = replace(record(1), prediction=record(1).prediction | {"created": "2026-02-10T00:00:00.000Z"})
    put(clock.store, again)
    assert clock.store.get(again.id) == again
    assert clock.store.reviews.of(again.id) == ([], 0) and clock.store.heatmap(again.id) is None
    assert redis_server.client().zcard("pneumo:1:index:time:all") == 1
    put(clock.store, record(1))  # the first is returned
    assert clock.store.get(again.id) == again


def test_a_stale_entry_of_a_result_that_was_stored_again_is_removed_alone(clock, redis_server):
    again = replace(record(1), prediction=record(1).prediction | {"created": "2026-02-10T00:00:00.000Z"})
    put(clock.store, again)
    redis_server.client().zadd("pneumo:1:index:time:all", {listing.member("time", record(1).prediction): 0})
    clock.now = MADE + 31 * DAY
    clock.store.eraser.erase_expired(5)
    assert walk(clock.store, "time", "all", 5) == ["1.png"]
    assert clock.store.get(again.id) == again
    assert redis_server.client().zcard("pneumo:1:index:time:all") == 1


def test_results_are_kept_for_ever_unless_set_otherwise(store):
    put(store, record(1))
    assert store.eraser.erase_expired(5) == 0
    assert store.get(record(1).id) == record(1)


@pytest.mark.parametrize("moment", ["before the start", "while it runs"])
def test_a_clock_that_is_ahead_hides_results_and_erases_none(redis_server, moment):
    put(Clock(redis_server).store, record(1), record(2))
    stored, ahead = keys(redis_server), 3650 * DAY
    clock = Clock(redis_server, host=ahead if moment == "before the start" else 0)
    clock.host = ahead
    assert walk(clock.store, "time", "all", 5) == []
    with suppress(ClockWrong):
        assert clock.store.eraser.erase_expired(5) == clock.store.eraser.erase_unlisted() == 0
    with pytest.raises(ClockWrong):  # nor is one replaced
        put(clock.store, replace(record(1), prediction=record(1).prediction | {"created": "2036-01-01T00:00:00.000Z"}))
    with suppress(ClockWrong):  # nor is one left out of a copy
        assert len(clock.store.result_ids()) == 2
    assert keys(redis_server) == stored
    clock.host = 0
    assert walk(clock.store, "time", "all", 5) == ["2.png", "1.png"]


def test_a_clock_of_redis_that_is_ahead_erases_none(redis_server):
    clock = Clock(redis_server)
    put(clock.store, record(1))
    clock.redis = 3650 * DAY
    assert clock.store.eraser.erase_expired(5) == 0
    assert clock.store.get(record(1).id) == record(1)


def test_a_result_that_has_expired_by_another_clock_is_an_error_and_not_stored(redis_server):
    behind = Clock(redis_server, host=-31 * DAY)
    behind.now = MADE + 31 * DAY
    with pytest.raises(ClockWrong, match="more than results are kept"):
        put(behind.store, record(1))
    assert keys(redis_server) == set()


@pytest.mark.parametrize("part", ["image", "heatmap", "feedback"])
def test_a_part_whose_record_is_lost_is_erased(store, redis_server, part):
    complete(store, record(1))
    client = redis_server.client()
    client.delete(*(key for key in client.keys("*") if f":{part}:".encode() not in key))
    assert store.eraser.erase(record(1).id) == "erased"
    assert keys(redis_server) == set()
    assert store.eraser.erase(record(1).id) == "before"


def test_the_scan_erases_parts_without_record_and_damaged_records_that_no_list_names(clock, redis_server):
    complete(clock.store, *(record(number) for number in range(1, 5)))
    client = redis_server.client()
    client.delete(*client.keys("*:record:*1"), *client.keys("*:index:*"))
    client.append(f"pneumo:1:record:{record(2).id}", b"damaged")
    client.set(f"pneumo:1:record:{record(3).id}", b"damaged")  # it does not say when it was made
    put(clock.store, record(5))
    client.delete(f"pneumo:1:record:{record(5).id}")  # a list names it: it expires with its entry
    assert clock.store.eraser.erase_unlisted() == 1  # the parts of the first
    clock.now = MADE + 31 * DAY
    assert clock.store.eraser.erase_unlisted() == 2  # 2 and 4
    left = {key for key in keys(redis_server) if ":index:" not in key}
    assert {key.rpartition(":")[2] for key in left} == {record(3).id, record(5).id}
    assert clock.store.eraser.erase(record(3).id) == "erased"


def test_an_index_entry_that_is_no_text_is_removed(clock, redis_server):
    redis_server.client().zadd("pneumo:1:index:time:all", {b"0001\xff:\xfe": 0})
    put(clock.store, record(1))
    clock.now = MADE + 31 * DAY
    assert [clock.store.eraser.erase_expired(1) for _ in range(3)] == [1, 0, 0]
    assert keys(redis_server) == set()


def test_a_result_that_was_erased_sent_again_and_has_expired_is_not_called_erased(clock):
    put(clock.store, record(1))
    clock.store.eraser.erase(record(1).id)
    put(clock.store, record(1))
    clock.now = MADE + 31 * DAY
    clock.store.eraser.erase_expired(5)
    with pytest.raises(Missing, match="may have expired"):
        clock.store.get(record(1).id)
