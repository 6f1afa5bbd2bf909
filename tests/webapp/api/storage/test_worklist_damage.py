"""The list of a store with damage: what cannot be read is named as damaged in each list, and no list fails."""

from datetime import date, timedelta
from unittest.mock import Mock

import pytest

from tests.webapp.api.records import opened, put, ready, record, walk
from tests.webapp.servers import MAC_KEY
from webapp.api.storage import listing
from webapp.api.storage.errors import Damaged, NotRead, Unlistable
from webapp.api.storage.listing import Filters
from webapp.api.storage.seal import Seal, serialize

FIRST = "pneumo:1:index:time:all"


@pytest.mark.parametrize("order", listing.ORDERS)
def test_a_damaged_record_is_named_in_every_list_that_it_may_belong_to(store, redis_server, order):
    put(store, record(1, 0.9), record(2, 0.2), record(3, None))
    redis_server.client().append(f"pneumo:1:record:{record(2).id}", b"x")
    fresh = ready(opened(redis_server))
    day = date(2026, 1, 1)
    for finding, filters in (
        ("all", Filters(text="3.png")),
        ("pneumonia", Filters(model="v", since=day, until=day)),
        ("refused", Filters(review="unread")),
        ("all", Filters(review="disagreement")),
    ):
        page = fresh.lists.page(order, finding, None, 10, filters)
        assert page.damaged == [record(2).id]
        assert page.total == len(page.records) + 1
    assert fresh.lists.page(order, "all", None, 10, Filters(until=day - timedelta(days=1))).total == 0
    assert fresh.lists.page("probability", "all", None, 1, Filters(review="unread")).damaged == [record(2).id]
    with pytest.raises(Damaged):
        fresh.get(record(2).id)
    place = fresh.lists.place(record(1, 0.9), "time", "all")
    assert (place.number, place.previous, place.next) == (3, record(3, None).id, None)


def test_a_list_that_began_while_the_rows_were_read_skips_no_damaged_record(store, redis_server, monkeypatch):
    put(store, record(1, 0.9), record(2, 0.2), record(3, 0.5))
    redis_server.client().append(f"pneumo:1:record:{record(2).id}", b"x")
    fresh = opened(redis_server)
    with monkeypatch.context() as starting:
        starting.setattr("webapp.api.storage.worklist.Worklist.rows", Mock(side_effect=NotRead(0, 3)))
        first = fresh.lists.page("probability", "all", None, 1)
    second = ready(fresh).lists.page("probability", "all", first.next, 1)
    third = fresh.lists.page("probability", "all", second.next, 1)
    assert [each.id for page in (first, second) for each in page.records] == [record(1).id, record(3).id]
    assert (third.damaged, third.next) == ([record(2).id], None)


def test_a_damaged_review_is_told_and_in_every_list_of_reviews(store, redis_server):
    put(store, record(1))
    store.reviews.add(record(1).id, {"label": "pneumonia"})
    key, client = f"pneumo:1:feedback:{record(1).id}", redis_server.client()
    client.lset(key, 0, client.lindex(key, 0).replace(b"pneumonia", b"healthy!!"))
    fresh = ready(opened(redis_server))
    for state in listing.REVIEWS:
        page = fresh.lists.page("time", "all", None, 10, Filters(review=state))
        assert [each.damaged for each in page.reviews] == [True]


@pytest.mark.parametrize("damage", [b"00000000000000001", b"1767225600x020000", "17672256000\u00e4020000".encode()])
def test_a_damaged_entry_of_the_index_loses_no_result(store, redis_server, damage):
    put(store, record(1), record(2), record(3))
    entry, client = listing.member("time", record(2).prediction), redis_server.client()
    client.zrem("pneumo:1:index:time:all", entry)
    client.zadd("pneumo:1:index:time:all", {damage + entry.encode()[-33:]: 0})
    fresh = ready(opened(redis_server))
    page = fresh.lists.page("time", "all", None, 10, Filters(text="2.png", until=date(2026, 12, 31)))
    assert (page.records, page.damaged, page.total) == ([record(2)], [], 1)
    assert len(fresh.lists.page("time", "all", None, 10).records) == 3


def _sealed(client, kind: str, identifier: str, content: object) -> bytes:
    key = f"pneumo:1:{kind}:{identifier}"
    return Seal(bytes.fromhex(MAC_KEY)).close(key, serialize(content))


UNEXPECTED = (
    [],
    {"prediction": {}, "image": None},
    {"prediction": record(3).prediction, "image": None},
    {"prediction": record(2).prediction | {"created": "yesterday"}, "image": None},
    {"prediction": record(2).prediction | {"probability": "0.75"}, "image": None},
    {"prediction": record(2).prediction | {"finding": "healthy"}, "image": None},
    {"prediction": record(2).prediction | {"probability": 0.1}, "image": None},  # contradicts the finding
    {"prediction": record(2).prediction, "image": {"width": 9}},
)


@pytest.mark.parametrize("content", UNEXPECTED)
def test_a_sealed_record_with_unexpected_content_is_damaged_and_fails_no_list(store, redis_server, content):
    put(store, record(1), record(2))
    client = redis_server.client()
    client.set(f"pneumo:1:record:{record(2).id}", _sealed(client, "record", record(2).id, content))
    for fresh in (opened(redis_server), ready(opened(redis_server))):
        page = fresh.lists.page("time", "all", None, 10)
        assert ([each.id for each in page.records], page.damaged) == ([record(1).id], [record(2).id])
    page = fresh.lists.page("probability", "pneumonia", None, 10, Filters(review="unread"))
    assert ([each.id for each in page.records], page.damaged) == ([record(1).id], [record(2).id])
    assert fresh.lists.place(record(1), "time", "all").number == 2
    assert store.eraser.erase(record(2).id) == "erased"
    assert fresh.lists.page("time", "all", None, 10).total == 1


@pytest.mark.parametrize(
    "content", [[], {}, {"label": "healthy"}, {"label": ["unsure"]}, {"label": "unsure", "created": 7}]
)
def test_a_sealed_review_with_unexpected_content_is_damaged_and_fails_no_list(store, redis_server, content):
    put(store, record(1))
    client = redis_server.client()
    client.rpush(f"pneumo:1:feedback:{record(1).id}", _sealed(client, "feedback", record(1).id, content))
    for filters in (Filters(), Filters(review="disagreement")):
        (review,) = ready(opened(redis_server)).lists.page("time", "all", None, 10, filters).reviews
        assert review.damaged
    assert store.reviews.of(record(1).id) == ([], 1)


def _with_entry(client, number: int, damage: bytes) -> bytes:
    """Change the time in a result's entry of the index by time; the new entry."""
    right = listing.member("time", record(number).prediction).encode()
    client.zrem(FIRST, right)
    client.zadd(FIRST, {damage + right[-33:]: 0})
    return damage + right[-33:]


@pytest.mark.parametrize("damage", [b"\xff1767225600x0200", b"00000000000000001", b"x"])
@pytest.mark.parametrize("all_is_read", [True, False])
def test_pages_go_on_after_a_damaged_entry(store, redis_server, monkeypatch, damage, all_is_read):
    put(store, *(record(number) for number in range(1, 6)))
    for number in (2, 4):
        _with_entry(redis_server.client(), number, damage)
    fresh = opened(redis_server)
    if not all_is_read:
        monkeypatch.setattr(fresh.lists._worklist, "_read_all", lambda *_: None)
        monkeypatch.setattr("webapp.api.storage.lists._SHORT_SECONDS", 0.01)
    for order in listing.ORDERS:
        assert sorted(walk(fresh, order, "all", 1)) == [f"{number}.png" for number in range(1, 6)]
    if all_is_read:
        places = [fresh.lists.place(record(number), "time", "all") for number in range(1, 6)]
        assert sorted(each.number for each in places) == [1, 2, 3, 4, 5]


def test_a_review_of_a_result_with_a_damaged_entry_is_in_the_list(store, redis_server):
    put(store, record(1), record(2), record(3))
    _with_entry(redis_server.client(), 2, b"x")
    fresh = ready(opened(redis_server))
    store.reviews.add(record(2).id, {"label": "no pneumonia"})
    assert fresh.lists.page("time", "all", None, 10, Filters(review="disagreement")).records == [record(2)]
    page = fresh.lists.page("time", "all", None, 10, Filters(review="unread"))
    assert (page.records, page.total) == ([record(3), record(1)], 2)
    assert store.eraser.erase(record(2).id) == "erased"
    put(store, record(2, millisecond=9))
    assert [each.id for each in fresh.lists.page("time", "all", None, 10).records] == [
        record(number).id for number in (2, 3, 1)
    ]


def test_a_lost_record_is_named_without_a_comparison_of_everything(store, redis_server, monkeypatch):
    put(store, record(1), record(2))
    fresh = ready(opened(redis_server))
    redis_server.client().delete(f"pneumo:1:record:{record(1).id}")
    monkeypatch.setattr(fresh.lists._worklist, "_compare", Mock(side_effect=AssertionError))
    for filters in (Filters(), Filters(review="unread")):
        page = fresh.lists.page("time", "all", None, 10, filters)
        assert (page.records, page.damaged) == ([record(2)], [record(1).id])


def test_an_error_that_nobody_foresaw_leaves_the_lists_of_the_index(store, redis_server, monkeypatch, caplog):
    put(store, record(1), record(2))
    fresh = opened(redis_server)
    monkeypatch.setattr("webapp.api.storage.worklist.row_of", Mock(side_effect=KeyError("Meier.png")))
    assert walk(fresh, "probability", "all", 1) == ["2.png", "1.png"]
    with pytest.raises(Unlistable):
        fresh.lists.page("time", "all", None, 10, Filters(review="unread"))
    assert "KeyError" in caplog.text and "Meier" not in caplog.text


def test_so_does_one_that_happens_while_changes_are_read(store, redis_server, monkeypatch, caplog):
    put(store, record(1))
    fresh = ready(opened(redis_server))

    def fail(*_: object) -> None:
        raise KeyError("Meier.png")

    with monkeypatch.context() as broken:
        broken.setattr("webapp.api.storage.worklist.row_of", fail)
        put(store, record(2))
        assert walk(fresh, "probability", "all", 1) == ["2.png", "1.png"]
    assert "KeyError" in caplog.text and "Meier" not in caplog.text
    ready(fresh)
    assert len(fresh.lists.page("time", "all", None, 10, Filters(review="unread")).records) == 2
