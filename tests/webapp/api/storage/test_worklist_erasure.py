"""What is erased, or expires, is in no list of any process from the next page on, also if Redis is full."""

from itertools import product
from pathlib import Path

import pytest

from tests.webapp.api.records import opened, put, ready, record, settings
from tests.webapp.servers import MAC_KEY, RedisServer
from webapp.api.storage import listing
from webapp.api.storage.errors import Missing, StoreFull
from webapp.api.storage.listing import Filters
from webapp.api.storage.lists import ListedStore
from webapp.api.storage.retention import Retention
from webapp.api.storage.seal import Seal
from webapp.api.storage.store import Store

MADE = 1767225600  # seconds; records are made some milliseconds later
DAY = 86400
UNREAD = Filters(review="unread")


def listed(store: ListedStore, filters: Filters = UNREAD) -> set[str]:
    """The ids in all lists together; none is damaged, and each total is that of its list."""
    found: set[str] = set()
    for order, finding in product(listing.ORDERS, listing.FILTERS):
        page = store.lists.page(order, finding, None, 100, filters)
        assert page.damaged == []
        assert page.total == len(page.records)
        found |= {each.id for each in page.records}
    return found


@pytest.mark.parametrize("filters", [UNREAD, Filters()])
def test_an_erased_result_vanishes_from_the_rows_of_every_process(store, redis_server, filters):
    kept, gone = record(1), (record(2), record(3, 0.1), record(4, None))
    put(store, kept, *gone)
    others = [ready(opened(redis_server)) for _ in range(2)]
    assert all(len(listed(other, filters)) == 4 for other in others)
    for each in gone:
        assert Store.open(settings(redis_server.port)).eraser.erase(each.id) == "erased"  # as `results erase` does
    assert [listed(other, filters) for other in others] == [{kept.id}, {kept.id}]
    place = others[0].lists.place(kept, "time", "all")
    assert (place.number, place.total, place.previous, place.next) == (1, 1, None, None)
    sizes = {key.decode(): redis_server.client().zcard(key) for key in redis_server.client().keys("pneumo:1:index:*")}
    assert sizes == {f"pneumo:1:index:{order}:{each}": 1 for order in listing.ORDERS for each in ("all", "pneumonia")}
    put(store, gone[0])
    assert listed(others[0], filters) == {kept.id, gone[0].id}


def test_an_erased_damaged_result_vanishes_from_the_rows_of_every_process(store, redis_server):
    put(store, record(1), record(2))
    redis_server.client().append(f"pneumo:1:record:{record(2).id}", b"x")
    other = ready(opened(redis_server))
    assert other.lists.page("probability", "refused", None, 10, UNREAD).damaged == [record(2).id]
    assert store.eraser.erase(record(2).id) == "erased"
    assert listed(other) == {record(1).id}


def test_a_result_expires_out_of_the_rows_at_once(redis_server):
    now = float(MADE)
    clients = [redis_server.client() for _ in range(2)]
    for client in clients:
        client.time = lambda: (int(now), 100_000)
    retention = Retention(30, lambda: now, lambda: now)
    stores = [ListedStore(client, Seal(bytes.fromhex(MAC_KEY)), retention) for client in clients]
    put(stores[0], record(1), record(2, millisecond=500))
    assert [listed(ready(each)) for each in stores] == [{record(1).id, record(2).id}] * 2
    now = MADE + 30 * DAY + 0.1
    place = stores[1].lists.place(record(2, millisecond=500), "time", "all")
    assert (place.total, place.next) == (1, None)
    assert [listed(each) for each in stores] == [{record(2).id}] * 2
    with pytest.raises(Missing):
        stores[1].get(record(1).id)
    assert redis_server.client().exists(f"pneumo:1:record:{record(1).id}")  # neither a place nor a page erases
    assert stores[0].eraser.erase_expired(5) == 1
    assert [listed(each) for each in stores] == [{record(2).id}] * 2


def test_the_lists_of_a_full_store_are_up_to_date(tmp_path: Path):
    server = RedisServer(tmp_path / "small", memory_mb=3)
    server.start()
    try:
        store = opened(server)
        put(store, record(1), record(2), record(3))
        other = ready(opened(server))
        server.client().config_set("maxmemory", server.client().info("memory")["used_memory"] // 2)
        with pytest.raises(StoreFull):
            store.reviews.add(record(1).id, {"label": "unsure"})
        assert listed(other) == {record(1).id, record(2).id, record(3).id}
        assert store.eraser.erase(record(2).id) == "erased"  # command by command
        assert listed(other) == listed(ready(opened(server))) == {record(1).id, record(3).id}
        assert other.lists.place(record(1), "time", "all", UNREAD).previous == record(3).id
    finally:
        server.kill()
