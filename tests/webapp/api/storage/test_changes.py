"""What changes without an announcement, or without memory for one, comes into the lists all the same."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.webapp.api.records import opened, put, ready, record
from tests.webapp.servers import MAC_KEY, RedisServer
from webapp.api.storage.changes import CHANGES, SETTLED
from webapp.api.storage.errors import StoreUnavailable, Unlistable
from webapp.api.storage.listing import Filters
from webapp.api.storage.lists import ListedStore
from webapp.api.storage.rows import Row, Rows
from webapp.api.storage.seal import Seal, serialize
from webapp.api.storage.worklist import Worklist

UNREAD = Filters(review="unread")
_SECONDS = 60.0  # at most, on a busy machine


def review_as_an_earlier_version(server: RedisServer, number: int) -> None:
    """Store a review that nobody announces."""
    key = f"pneumo:1:feedback:{record(number).id}"
    server.client().rpush(key, Seal(bytes.fromhex(MAC_KEY)).close(key, serialize({"label": "unsure"})))


def upload_as_an_earlier_version(server: RedisServer, number: int) -> None:
    """Store a result that nobody announces."""
    client = server.client()
    newest = client.xrevrange(CHANGES, count=1)[0][0]
    put(opened(server), record(number))
    for entry, _ in client.xrange(CHANGES, f"({newest.decode()}"):
        client.xdel(CHANGES, entry)


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def unread(store: ListedStore) -> list[str]:
    """The files that the store lists as unread."""
    return [each.prediction["file"] for each in store.lists.page("time", "all", None, 10, UNREAD).records]


def test_a_process_that_starts_makes_all_others_read_what_was_not_announced(store, redis_server):
    put(store, record(1), record(2))
    ready(store)
    review_as_an_earlier_version(redis_server, 2)
    assert unread(store) == ["2.png", "1.png"]
    opened(redis_server).lists.start()  # in the place of the earlier one
    eventually(lambda: unread(store) == ["1.png"])


def test_a_process_that_starts_reads_everything_once(redis_server, monkeypatch):
    put(opened(redis_server), record(1))
    only, readings, whole = opened(redis_server), [], Worklist._everything
    monkeypatch.setattr(Worklist, "_everything", lambda *each: readings.append(1) or whole(*each))
    for _ in range(3):
        assert unread(only) == ["1.png"]
    assert readings == [1]


def test_what_is_never_announced_is_read_after_a_while(store, redis_server):
    put(store, record(1), record(2))
    ready(store)
    eventually(lambda: store.lists._worklist._reading is None)
    store.lists._worklist._stale = False
    review_as_an_earlier_version(redis_server, 2)
    upload_as_an_earlier_version(redis_server, 3)
    store.eraser.erase(record(1).id)  # as many results as before
    store.lists._worklist._due = 0.0
    eventually(lambda: unread(store) == ["3.png"])
    assert store.lists._worklist._due > time.monotonic()


def test_while_everything_is_read_again_the_lists_are_answered(store, redis_server, monkeypatch):
    put(store, record(1))
    ready(store)
    eventually(lambda: store.lists._worklist._reading is None)
    goes_on, whole = threading.Event(), store.lists._worklist._everything
    monkeypatch.setattr(store.lists._worklist, "_everything", lambda *each: goes_on.wait(_SECONDS) and whole(*each))
    store.lists._worklist._due = 0.0
    assert unread(store) == ["1.png"]
    assert store.lists._worklist._reading is not None
    put(store, record(2))
    assert unread(store) == ["2.png", "1.png"]
    goes_on.set()
    eventually(lambda: store.lists._worklist._reading is None)
    assert unread(store) == ["2.png", "1.png"]


def test_an_erased_result_goes_without_a_comparison_of_everything(store, redis_server, monkeypatch):
    put(store, record(1), record(2), record(3))
    other = ready(opened(redis_server))
    monkeypatch.setattr(other.lists._worklist, "_compare", Mock(side_effect=AssertionError))
    store.eraser.erase(record(1).id)
    store.eraser.erase(record(2).id)
    put(store, record(2))
    assert unread(other) == ["3.png", "2.png"]


def test_what_was_erased_without_memory_is_announced_as_soon_as_there_is_some(tmp_path: Path):
    server = RedisServer(tmp_path / "small", memory_mb=3)
    server.start()
    try:
        store = opened(server)
        put(store, record(1), record(2))
        other, client = ready(opened(server)), server.client()
        eventually(lambda: bool(unread(other)) and client.exists(SETTLED) == 1)
        limit = client.config_get("maxmemory")["maxmemory"]
        client.config_set("maxmemory", client.info("memory")["used_memory"] // 2)
        store.eraser.erase(record(1).id)
        assert not client.exists(SETTLED)
        assert unread(other) == ["2.png"]
        assert not client.exists(SETTLED)
        newest = client.xrevrange(CHANGES, count=1)[0][0].decode()
        client.config_set("maxmemory", limit)
        assert unread(other) == ["2.png"]
        assert client.exists(SETTLED)
        assert [fields for _, fields in client.xrange(CHANGES, f"({newest}")] == [{b"all": b""}]
    finally:
        server.kill()


def test_everything_is_read_by_one_thread_at_a_time_also_if_it_fails(monkeypatch):
    running, most, starts = 0, 0, 0

    def fail(self, reading, pause):
        nonlocal running, most, starts
        running, starts = running + 1, starts + 1
        most = max(most, running)
        time.sleep(0.001)
        running -= 1
        raise StoreUnavailable("away")

    monkeypatch.setattr(Worklist, "_everything", fail)
    rows, failures = Worklist(Mock(), Mock(), Mock()), []

    def ask() -> None:
        for _ in range(50):
            try:
                with rows.rows(_SECONDS):
                    pass
            except StoreUnavailable:
                failures.append(1)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (len(failures), most) == (400, 1)
    assert starts <= 400


def test_a_redis_that_takes_no_changes_is_listed(store, own_redis):
    put(opened(own_redis), record(1), record(2))
    client = own_redis.client()
    client.config_set("min-replicas-to-write", 1)  # as with a disk that is full: it refuses each change
    other = opened(own_redis)
    page = other.lists.page("time", "all", None, 10)
    assert [each.prediction["file"] for each in page.records] == ["2.png", "1.png"]
    assert unread(other) == ["2.png", "1.png"]
    client.config_set("min-replicas-to-write", 0)
    client.delete(SETTLED)
    client.config_set("min-replicas-to-write", 1)
    assert unread(other) == ["2.png", "1.png"]
    newest = client.xrevrange(CHANGES, count=1)[0][0].decode()
    client.config_set("min-replicas-to-write", 0)
    eventually(lambda: other.lists._worklist._reading is None)
    other.lists._worklist._due = 0.0
    assert unread(other) == ["2.png", "1.png"]
    eventually(lambda: {b"all": b""} in [fields for _, fields in client.xrange(CHANGES, f"({newest}")])


def test_a_reading_that_cannot_begin_is_begun_by_the_next_request(store, redis_server, monkeypatch):
    put(store, record(1))
    fresh = opened(redis_server)
    with monkeypatch.context() as none_left:
        none_left.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError))
        fresh.lists.start()
        assert len(fresh.lists.page("time", "all", None, 10).records) == 1
        with pytest.raises(Unlistable):
            unread(fresh)
    assert unread(fresh) == ["1.png"]
    eventually(lambda: fresh.lists._worklist._reading is None)
    fresh.lists._worklist._due, fresh.lists._worklist._stale = 0.0, True
    with monkeypatch.context() as none_left:
        none_left.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError))
        assert unread(fresh) == ["1.png"]
    assert fresh.lists._worklist._stale


def test_many_rows_are_removed_as_few_are():
    members = [f"{number:017d}:{number:032x}" for number in range(1, 1001)]
    made = [Row(each, name=each[-5:], outcome="pneumonia", created=int(each[:17])) for each in members]
    at_once, one_by_one = Rows(), Rows()
    at_once.set(made)
    one_by_one.set(made)
    gone = [*members[::3], "99999999999999999:x"]
    at_once.remove(gone)
    for each in gone:
        one_by_one.remove([each])
    assert at_once.members == one_by_one.members == sorted(set(members) - set(gone))
    for word in ("1", "3e7"):
        found = [list(rows.select("probability", "pneumonia", Filters(text=word))) for rows in (at_once, one_by_one)]
        assert found[0] == found[1] and found[0]


def test_an_expired_result_names_no_model():
    rows = Rows()
    rows.set(
        [
            Row(f"{number:017d}:{number:032x}", outcome="refused", model=f"v{number}", created=number)
            for number in (1, 2)
        ]
    )
    assert (rows.models(), rows.models(cutoff=1), rows.models(cutoff=2)) == (["v1", "v2"], ["v2"], [])
