"""Reviews are sealed, stored once, and withdrawn without being lost; the newest one that is not withdrawn counts."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.webapp.api.records import opened, put, ready, record
from tests.webapp.servers import RedisServer
from webapp.api.storage.errors import FeedbackFull, Missing
from webapp.api.storage.listing import Filters
from webapp.api.storage.lists import ListedStore
from webapp.api.storage.seal import serialize
from webapp.documents import StoredReview

ID = record(1).id
LATER = "2026-03-09T00:00:00.000000Z"


def review(label: str, second: int = 0, comment: str = "") -> StoredReview:
    """A review of the first record, which the model calls pneumonia."""
    created = f"2026-01-02T00:00:{second:02d}.000000Z"
    return {"prediction": ID, "label": label, "comment": comment, "created": created}


@pytest.fixture
def store(redis_server: RedisServer) -> ListedStore:
    """A store with one result."""
    made = opened(redis_server)
    put(made, record(1))
    return ready(made)


def listed(store: ListedStore, review: str = "all") -> tuple[int, str | None]:
    """How many results a list has, and the review that counts for the first one."""
    page = store.lists.page("time", "all", None, 10, Filters(review=review))
    return page.total, page.reviews[0].label if page.reviews else None


def test_the_newest_review_that_is_not_withdrawn_counts(store):
    first = store.reviews.add(ID, review("pneumonia"))
    second = store.reviews.add(ID, review("no pneumonia", 1))
    assert listed(store, "disagreement") == (1, "no pneumonia")
    assert store.reviews.withdraw(ID, second["id"], LATER) == {**second, "withdrawn": LATER}
    assert listed(store, "disagreement") == (0, None) and listed(store, "reviewed") == (1, "pneumonia")
    store.reviews.withdraw(ID, first["id"], LATER)
    assert listed(store, "unread") == (1, None) and listed(store, "reviewed") == (0, None)
    assert store.reviews.of(ID) == ([{**first, "withdrawn": LATER}, {**second, "withdrawn": LATER}], 0)


def test_a_withdrawal_is_an_entry_of_its_own_and_repeating_it_adds_none(store, redis_server):
    made = store.reviews.add(ID, review("unsure"))
    done = store.reviews.withdraw(ID, made["id"], LATER)
    assert store.reviews.withdraw(ID, made["id"], "2026-03-10T00:00:00.000000Z") == done
    entries = redis_server.client().lrange(f"pneumo:1:feedback:{ID}", 0, -1)
    assert len(entries) == 2 and b'"withdraws"' in entries[1]
    with pytest.raises(Missing):
        store.reviews.withdraw(ID, "0" * 32, LATER)
    with pytest.raises(Missing):
        store.reviews.withdraw(record(2).id, made["id"], LATER)


def test_the_same_review_twice_in_a_row_is_stored_once_also_at_the_same_time(store):
    first = store.reviews.add(ID, review("unsure", 0, "dark"))
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda n: store.reviews.add(ID, review("unsure", n, "dark"))["id"], range(1, 9))) == {
            first["id"]
        }
    assert store.reviews.of(ID) == ([first], 0)
    store.reviews.add(ID, review("unsure", 1, "bright"))
    store.reviews.add(ID, review("unsure", 2, "dark"))  # not in a row
    assert len(store.reviews.of(ID)[0]) == 3


def test_a_second_reader_who_agrees_still_counts_when_the_first_one_withdraws(store):
    first = store.reviews.add(ID, review("no pneumonia"))
    second = store.reviews.add(ID, {**review("no pneumonia"), "created": "2026-01-02T00:02:01.000000Z"})
    assert second["id"] != first["id"]
    store.reviews.withdraw(ID, first["id"], LATER)
    assert listed(store) == (1, "no pneumonia")


def test_what_was_withdrawn_can_be_said_again(store):
    first = store.reviews.add(ID, review("unsure"))
    store.reviews.withdraw(ID, first["id"], LATER)
    again = store.reviews.add(ID, review("unsure", 1))
    assert [each["withdrawn"] for each in store.reviews.of(ID)[0]] == [LATER, None]
    assert again["id"] != first["id"] and listed(store)[1] == "unsure"


def test_a_full_result_can_still_be_corrected(store):
    for number in range(50):
        last = store.reviews.add(ID, review("unsure", number, str(number)))
    with pytest.raises(FeedbackFull):
        store.reviews.add(ID, review("pneumonia", 59))
    assert store.reviews.add(ID, review("unsure", 59, "49")) == last
    store.reviews.withdraw(ID, last["id"], LATER)
    with pytest.raises(FeedbackFull):
        store.reviews.add(ID, review("pneumonia", 59))


@pytest.mark.parametrize("entry", [0, 1])
def test_with_a_damaged_review_or_withdrawal_nobody_knows_which_review_counts(store, redis_server, entry):
    made = store.reviews.add(ID, review("pneumonia"))
    store.reviews.withdraw(ID, made["id"], LATER)
    client, key = redis_server.client(), f"pneumo:1:feedback:{ID}"
    client.lset(key, entry, client.lindex(key, entry) + b"x")
    page = store.lists.page("time", "all", None, 10)
    assert page.reviews[0].damaged and store.reviews.of(ID)[1] == 1


def test_reviews_and_withdrawals_are_erased_with_the_result(store, redis_server):
    store.reviews.withdraw(ID, store.reviews.add(ID, review("unsure"))["id"], LATER)
    store.eraser.erase(ID)
    assert not redis_server.client().exists(f"pneumo:1:feedback:{ID}")
    with pytest.raises(Missing):
        store.reviews.of(ID)


def test_a_review_counts_although_the_clock_was_set_back_before_it(store):
    store.reviews.add(ID, review("pneumonia", 30))
    later = store.reviews.add(ID, review("no pneumonia", 1))
    assert listed(store, "disagreement") == (1, "no pneumonia")
    assert store.reviews.of(ID)[0][-1] == later
    store.reviews.withdraw(ID, later["id"], "2026-01-01T00:00:00.000000Z")
    assert listed(store) == (1, "pneumonia")


def stored(store: ListedStore, server: RedisServer, *entries: dict) -> list[str]:
    """The comments of a result's reviews in their order, with these entries in this order of the store's list."""
    key = f"pneumo:1:feedback:{ID}"
    server.client().delete(key)
    for entry in entries:
        server.client().rpush(key, store._seal.close(key, serialize(entry)))
    return [each["comment"] for each in store.reviews.of(ID)[0]]


def test_reviews_of_earlier_versions_keep_the_order_of_their_times(store, redis_server):
    old = [review("unsure", second, f"old {second}") for second in (5, 9, 2)]  # the last one was imported
    assert stored(store, redis_server, *old) == ["old 2", "old 5", "old 9"]
    new = [{**review("unsure", 1, "new 1"), "number": 4}, {**review("unsure", 0, "new 0"), "number": 5}]
    assert stored(store, redis_server, *old, *new) == ["old 2", "old 5", "old 9", "new 1", "new 0"]
    rolled_back = review("unsure", 7, "after a rollback")
    assert stored(store, redis_server, *old, *new, rolled_back)[-2:] == ["new 0", "after a rollback"]
    imported = review("unsure", 0, "imported")
    assert stored(store, redis_server, *old, *new, imported)[0] == "imported"
    assert store.reviews.add(ID, review("unsure", 0, "last"))["comment"] == store.reviews.of(ID)[0][-1]["comment"]
