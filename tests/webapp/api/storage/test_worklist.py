"""The list, in every order and under every filter, against a plain filter over all records; what changes meanwhile."""

import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from tests.webapp.api.records import opened, put, ready, record
from webapp.api.storage import listing, worklist
from webapp.api.storage.changes import CHANGES
from webapp.api.storage.errors import NotRead, StoreUnavailable
from webapp.api.storage.listing import Filters
from webapp.api.storage.lists import ListedStore
from webapp.api.storage.records import Record

NAMES = ("Thorax AP.png", "thorax_pa.dcm", "É 17.jpg", "e\u0301 18.jpg", "Straße.png", "IM000001", "a b  c.png")
DAY = datetime(2026, 3, 1, tzinfo=UTC)
LABELS = ("pneumonia", "no pneumonia", "unsure")


def varied(dice: random.Random, number: int) -> Record:
    """A record with everything that a list is filtered by chosen at random; times and probabilities often equal."""
    made = record(number, dice.choice((None, None, 0.0, 0.5, 1.0, dice.random())))
    created = DAY + timedelta(hours=dice.randrange(0, 24 * 5))
    refusal = made.prediction["refusal"]
    prediction = made.prediction | {
        "file": dice.choice(NAMES),
        "created": created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "model": {"name": "m", "version": dice.choice(("v1", "v2"))},
        "refusal": refusal and refusal | {"code": dice.choice(("too_small", "not_a_chest"))},
    }
    return Record(prediction, made.image)


def drawn_filters(dice: random.Random) -> Filters:
    """Filters of which each narrows now and then."""
    day = lambda: DAY.date() + timedelta(days=dice.randrange(-1, 6))  # noqa: E731
    maybe = lambda value: value if dice.random() < 0.35 else None  # noqa: E731
    return Filters(
        text=maybe(dice.choice(("thorax", "STRASSE", "é", "png", "a c", "nothing", "1 i"))),
        refusal=maybe(dice.choice(("too_small", "not_a_chest", "unreadable"))),
        model=maybe(dice.choice(("v1", "v2", "v3"))),
        since=maybe(day()),
        until=maybe(day()),
        review=maybe(dice.choice(listing.REVIEWS)) or "all",
    )


def naive(records: list[Record], reviews: dict[str, str], order: str, finding: str, filters: Filters) -> list[str]:
    """The ids of a list, by looking at every record."""

    def matches(each: Record) -> bool:
        document, label = each.prediction, reviews.get(each.id)
        day = datetime.fromisoformat(document["created"]).date()
        code = document["refusal"] and document["refusal"]["code"]
        name = listing.searchable(document["file"])
        contrary = {"pneumonia": "no pneumonia", "no pneumonia": "pneumonia"}.get(document["finding"])
        state = {
            "all": True,
            "unread": label is None,
            "reviewed": label is not None,
            "disagreement": label is not None and label == contrary,
        }
        return (
            finding in ("all", document["finding"] or "refused")
            and filters.refusal in (None, code)
            and filters.model in (None, document["model"]["version"])
            and (filters.since or date.min) <= day <= (filters.until or date.max)
            and state[filters.review]
            and all(listing.searchable(word) in name for word in (filters.text or "").split())
        )

    chosen = [each for each in records if matches(each)]
    return [each.id for each in sorted(chosen, key=lambda each: listing.member(order, each.prediction), reverse=True)]


def walked(store: ListedStore, order: str, finding: str, filters: Filters, limit: int) -> Iterator[str]:
    """The ids of all pages, whose totals and numbers must agree."""
    cursor, number = None, 1
    while True:
        page = store.lists.page(order, finding, cursor, limit, filters)
        assert page.first == (number if page.records else None)
        assert page.damaged == []
        yield from (each.id for each in page.records)
        number, cursor = number + len(page.records), page.next
        if cursor is None:
            assert page.total == number - 1
            return


@pytest.mark.parametrize("seed", range(4))
def test_every_list_is_that_of_a_plain_filter(redis_server, seed):
    dice = random.Random(seed)
    store = ready(opened(redis_server))
    records = [varied(dice, number) for number in range(1, 90)]
    reviews: dict[str, str] = {}
    for each in records:
        store.put(each, None)
    for each in dice.sample(records, 50):
        reviews[each.id] = dice.choice(LABELS)
        store.reviews.add(each.id, {"label": "unsure", "created": "2026-03-09T00:00:00Z"})
        store.reviews.add(each.id, {"label": reviews[each.id], "created": "2026-03-10T00:00:00Z"})
    other = ready(opened(redis_server))  # reads all at once; the first one followed every change
    for _ in range(60):
        order, finding, filters = dice.choice(listing.ORDERS), dice.choice(listing.FILTERS), drawn_filters(dice)
        expected = naive(records, reviews, order, finding, filters)
        for each in (store, other):
            assert list(walked(each, order, finding, filters, dice.randrange(1, 40))) == expected
        subject = dice.choice(records)
        place = store.lists.place(subject, order, finding, filters)
        key = listing.member(order, subject.prediction)
        keys = {each.id: listing.member(order, each.prediction) for each in records}
        assert place.total == len(expected)
        assert place.number == (expected.index(subject.id) + 1 if subject.id in expected else None)
        assert place.first == (expected[0] if expected else None)
        assert place.previous == next((each for each in reversed(expected) if keys[each] > key), None)
        assert place.next == next((each for each in expected if keys[each] < key), None)


def test_reviews_and_models_come_with_the_page(store):
    put(store, record(1, 0.9), record(2, 0.1), record(3))
    store.reviews.add(record(1).id, {"label": "no pneumonia", "created": "2026-03-10T00:00:00Z"})
    store.reviews.add(record(2).id, {"label": "unsure", "created": "2026-03-10T00:00:00Z"})
    page = ready(store).lists.page("time", "all", None, 10)
    assert [each.label for each in page.reviews] == [None, "unsure", "no pneumonia"]
    disagreeing = [each.disagrees(one.prediction) for each, one in zip(page.reviews, page.records, strict=True)]
    assert disagreeing == [False, False, True]
    assert page.models == ["v"]


def test_what_another_process_adds_reviews_or_removes_is_in_the_next_page(store, redis_server):
    other, client = ready(opened(redis_server)), redis_server.client()
    unread = Filters(review="unread")
    put(store, record(1), record(2), record(3))
    assert other.lists.page("time", "all", None, 10, unread).total == 3
    store.reviews.add(record(2).id, {"label": "unsure"})
    assert list(walked(other, "time", "all", unread, 10)) == [record(3).id, record(1).id]
    _erase(client, record(3))
    put(store, record(4))
    assert list(walked(other, "time", "all", unread, 10)) == [record(4).id, record(1).id]
    _erase(client, record(1))
    put(store, record(1, millisecond=9))  # the same id at another time
    assert list(walked(other, "time", "all", unread, 10)) == [record(1).id, record(4).id]


def _erase(client, gone: Record) -> None:
    client.delete(f"pneumo:1:record:{gone.id}")
    for order, finding, member in listing.memberships(gone.prediction):
        client.zrem(f"pneumo:1:index:{order}:{finding.replace(' ', '-')}", member)


def test_a_result_that_is_removed_while_a_page_is_made_vanishes(store, redis_server, monkeypatch):
    put(store, record(1), record(2))
    whole, client = ready(store).lists._opened, redis_server.client()

    def slow(part):
        _erase(client, record(1))
        return whole(part)

    monkeypatch.setattr(store.lists, "_opened", slow)
    page = store.lists.page("time", "all", None, 10)
    assert ([each.id for each in page.records], page.damaged, page.total) == ([record(2).id], [], 1)


@pytest.mark.parametrize("lost", ["changes and a result", "everything", "the older changes"])
def test_a_stream_that_does_not_go_on_means_reading_all_again(store, redis_server, lost):
    client = redis_server.client()
    put(store, record(1), record(2))
    ready(store)
    if lost == "everything":
        client.flushall()
        put(opened(redis_server), record(7))
        expected = [record(7).id]
    elif lost == "the older changes":
        put(opened(redis_server), record(3))
        client.xtrim(CHANGES, 1, approximate=False)
        expected = [each.id for each in (record(3), record(2), record(1))]
    else:  # the last moments of a Redis whose machine lost power: both results have gone, and another one came
        client.delete(CHANGES)
        _erase(client, record(2))
        put(opened(redis_server), record(3))
        expected = [record(3).id, record(1).id]
    with pytest.raises(NotRead):
        store.lists.page("time", "all", None, 10, Filters(review="unread"))
    assert list(walked(ready(store), "time", "all", Filters(review="unread"), 10)) == expected


def test_more_changes_than_one_use_takes_in(store, redis_server, monkeypatch):
    monkeypatch.setattr(worklist, "_AT_ONCE", 4)
    put(store, record(1))
    other = ready(opened(redis_server))
    put(store, *(record(number) for number in range(2, 20)))
    assert other.lists.page("time", "all", None, 50, Filters(review="unread")).total == 19


def test_while_all_is_read_lists_without_filters_are_answered_and_others_say_so(store, redis_server, monkeypatch):
    put(store, record(1), record(2))
    other, goes_on = opened(redis_server), threading.Event()
    whole = other.lists._worklist._read_rows
    monkeypatch.setattr(other.lists._worklist, "_read_rows", lambda members: goes_on.wait(120) and whole(members))
    for limit in ("_READ_SECONDS", "_SHORT_SECONDS"):
        monkeypatch.setattr(f"webapp.api.storage.lists.{limit}", 0.01)
    page = other.lists.page("time", "all", None, 1)
    assert ([each.id for each in page.records], page.total, page.first) == ([record(2).id], 2, 1)
    second = other.lists.page("time", "all", page.next, 1)
    assert ([each.id for each in second.records], second.next, second.first) == ([record(1).id], None, None)
    with pytest.raises(NotRead) as told:
        other.lists.page("time", "all", None, 10, Filters(review="unread"))
    assert (told.value.read, told.value.results) == (0, 2)
    with pytest.raises(NotRead):
        other.lists.place(record(1), "time", "all")
    put(store, record(3))
    goes_on.set()
    assert ready(other).lists.page("time", "all", None, 10, Filters(review="unread")).total == 3


def test_redis_that_is_away_during_the_reading_is_an_error_and_then_read_again(own_redis):
    store = opened(own_redis)
    put(store, record(1))
    own_redis.kill()
    with pytest.raises(StoreUnavailable):
        store.lists.page("time", "all", None, 10, Filters(review="unread"))
    own_redis.start()
    assert ready(store).lists.page("time", "all", None, 10, Filters(review="unread")).total == 1


def test_a_cursor_belongs_to_its_filters(store):
    put(store, record(1), record(2), record(3))
    filters = Filters(text="PNG", review="unread")
    cursor = ready(store).lists.page("time", "all", None, 1, filters).next
    assert store.lists.page("time", "all", cursor, 1, replace(filters, text=" png")).records == [record(2)]
    for other in (Filters(), Filters(text="png"), replace(filters, since=date(2026, 1, 1))):
        with pytest.raises(listing.CursorInvalid):
            store.lists.page("time", "all", cursor, 1, other)


@pytest.mark.parametrize("all_is_read", [True, False])
def test_an_expired_result_is_in_no_list_although_it_is_not_erased_yet(store, monkeypatch, all_is_read):
    put(store, *(record(number) for number in range(1, 5)))
    moment = listing.time_of(listing.member("time", record(2).prediction))
    monkeypatch.setattr(store.lists, "_cutoff", lambda: moment)
    if all_is_read:
        ready(store)
    else:
        monkeypatch.setattr(store.lists._worklist, "_read_all", lambda *_: None)
        monkeypatch.setattr("webapp.api.storage.lists._SHORT_SECONDS", 0.01)
    page = store.lists.page("time", "all", None, 10)
    assert ([each.id for each in page.records], page.damaged) == ([record(4).id, record(3).id], [])
    if all_is_read:
        assert page.total == 2
        assert store.lists.place(record(3), "probability", "all").next is None


def test_a_search_finds_what_was_added_repaired_or_removed_since_it_was_last_made(store, redis_server):
    client, key = redis_server.client(), f"pneumo:1:record:{record(2).id}"
    put(store, record(1), record(2))
    intact = client.get(key)
    client.set(key, intact + b"x")
    fresh = ready(opened(redis_server))

    def found(text: str) -> tuple[list[Record], list[str]]:
        page = fresh.lists.page("probability", "all", None, 10, Filters(text=text))
        return page.records, page.damaged

    for _ in range(2):
        assert found("1.png") == ([record(1)], [record(2).id])
    client.set(key, intact)
    store.reviews.add(record(2).id, {"label": "unsure"})  # announces the repaired one
    assert (found("1.png"), found("2.png")) == (([record(1)], []), ([record(2)], []))
    put(store, record(21))
    assert found("1.png") == ([record(21), record(1)], [])
    _erase(client, record(1))
    assert found("1.png") == ([record(21)], [])
    for number in range(20):
        assert found(f"nothing{number}") == ([], [])
