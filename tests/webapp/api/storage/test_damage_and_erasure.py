"""Damage in the index or in a record never lets a result vanish without a word when others expire or are erased."""

import pytest

from tests.webapp.api.records import opened, put, ready, record
from tests.webapp.servers import MAC_KEY
from webapp.api.storage import listing
from webapp.api.storage.lists import ListedStore
from webapp.api.storage.retention import Retention
from webapp.api.storage.seal import Seal

FIRST = "pneumo:1:index:time:all"
NOW = 1767225600.0 + 86400


@pytest.fixture
def client(redis_server):
    """A client whose Redis has the time NOW."""
    made = redis_server.client()
    made.time = lambda: (int(NOW), 0)
    return made


def store_of(client, now: float = NOW) -> ListedStore:
    """A store that keeps results for 30 days."""
    return ListedStore(client, Seal(bytes.fromhex(MAC_KEY)), Retention(30, lambda: now, lambda: now))


def with_entry(client, number: int, damage: bytes) -> bytes:
    """Change the time in a result's entry of the index by time; the new entry."""
    right = listing.member("time", record(number).prediction).encode()
    client.zrem(FIRST, right)
    client.zadd(FIRST, {damage + right[-33:]: 0})
    return damage + right[-33:]


@pytest.mark.parametrize("damage", [b"00000000000000001", b"\x00"])
def test_a_damaged_entry_that_reads_as_old_hides_and_erases_nothing_and_is_replaced(client, redis_server, damage):
    store = store_of(client)
    put(store, record(1), record(2))
    damaged = with_entry(client, 1, damage)
    fresh = store_of(client)
    for each in (ready(store), ready(fresh)):
        assert each.lists.page("time", "all", None, 10).records == [record(2), record(1)]
    assert store.eraser.erase_expired(10) == 0
    assert client.zscore(FIRST, damaged) is None
    for each in (store, fresh, ready(opened(redis_server))):
        page = each.lists.page("time", "all", None, 10)
        assert (page.records, page.total, page.damaged) == ([record(2), record(1)], 2, [])


def test_a_damaged_record_is_not_erased_by_a_damaged_entry_that_reads_as_old(client):
    store = store_of(client)
    put(store, record(1))
    client.append(f"pneumo:1:record:{record(1).id}", b"x")
    with_entry(client, 1, b"00000000000000001")
    assert store.eraser.erase_expired(10) == 0
    assert client.exists(f"pneumo:1:record:{record(1).id}")


def test_an_entry_that_says_no_time_erases_no_damaged_record(client):
    store = store_of(client)
    put(store, record(1))
    key = f"pneumo:1:record:{record(1).id}"
    client.set(key, client.get(key).replace(b'"created"', b'"cre\x00ted"'))
    with_entry(client, 1, b"\x000001767225600000")  # a byte of its time is damaged
    assert store.eraser.erase_expired(10) == 0
    assert client.exists(key, f"pneumo:1:image:{record(1).id}") == 2
    assert ready(store).lists.page("time", "all", None, 10).damaged == [record(1).id]


def test_what_stays_keeps_nothing_older_from_being_erased(client):
    store = store_of(client, NOW)
    put(store, *(record(number) for number in range(1, 8)))
    for number in range(3, 8):  # damaged, and by what they say themselves they have not expired
        key = f"pneumo:1:record:{record(number).id}"
        client.set(key, client.get(key).replace(b'"created":"2026', b'"created":"2099'))
    later = NOW + 40 * 86400
    client.time = lambda: (int(later), 0)
    assert [store_of(client, later).eraser.erase_expired(2) for _ in range(3)] == [1, 1, 0]
    assert client.zcard(FIRST) == 5


def test_an_erased_result_takes_its_damaged_entries_along(client):
    store = ready(store_of(client))
    put(store, record(1), record(2))
    with_entry(client, 1, b"x")
    other = "pneumo:1:index:probability:all"
    client.zadd(other, {b"y:" + record(1).id.encode(): 0})
    assert store.eraser.erase(record(1).id) == "erased"
    assert (client.zcard(FIRST), client.zcard(other)) == (1, 1)
    page = store.lists.page("time", "all", None, 10)
    assert (page.records, page.damaged) == ([record(2)], [])
