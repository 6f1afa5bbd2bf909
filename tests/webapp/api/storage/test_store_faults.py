"""The store with flipped bytes and deleted records, and with a Redis that is dead, hanging, full or locked."""

import resource
import signal
import time
from pathlib import Path

import pytest

from tests.webapp.api.records import PICTURE, put, record, settings, walk
from tests.webapp.servers import RedisServer
from webapp.api.storage import listing
from webapp.api.storage.errors import Damaged, StoreUnavailable
from webapp.api.storage.lists import ListedStore
from webapp.api.storage.seal import Seal


@pytest.mark.parametrize("position", [0, 63, 64, 90, -1])
def test_a_flipped_byte_damages_one_record_and_not_the_list(store, redis_server, position):
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
        store.reviews.add(record(2).id, {"label": "unsure"})
    page = store.lists.page("time", "all", None, 10)
    assert [each.prediction["file"] for each in page.records] == ["3.png", "1.png"]
    assert page.damaged == [record(2).id]


def test_a_flipped_digit_of_a_probability_is_detected(store, redis_server):
    """Redis loads an append-only file with a changed digit without complaint; the seal detects it."""
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


def test_a_deleted_record_is_listed_as_damaged(store, redis_server):
    put(store, record(1), record(2))
    redis_server.client().delete(f"pneumo:1:record:{record(1).id}")
    page = store.lists.page("time", "all", None, 10)
    assert (len(page.records), page.damaged) == (1, [record(1).id])


def test_records_cannot_be_read_with_another_key(store, redis_server):
    put(store, record(1))
    stranger = ListedStore(redis_server.client(), Seal(b"x" * 32))
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


def test_a_killed_redis_loses_nothing(own_redis):
    store = ListedStore.open(settings(own_redis.port))
    put(store, *(record(number) for number in range(1, 21)))
    own_redis.kill()
    with pytest.raises(StoreUnavailable):
        store.get(record(1).id)
    with pytest.raises(StoreUnavailable):
        put(store, record(21))
    with pytest.raises(StoreUnavailable):
        store.lists.page("time", "all", None, 5)
    own_redis.start()
    assert walk(store, "time", "all", 7) == [f"{number}.png" for number in range(20, 0, -1)]
    assert store.picture(record(20).id) == PICTURE
    put(store, record(21))


def test_a_full_store_stores_no_partial_record(tmp_path):
    server = RedisServer(tmp_path / "small", memory_mb=3)
    server.start()
    try:
        store, client = ListedStore.open(settings(server.port)), server.client()
        with pytest.raises(StoreUnavailable):
            for number in range(1, 100):
                store.put(record(number), b"x" * 500_000)
        stored_ids = set(store.ids())
        assert 1 <= len(stored_ids) < 20
        assert client.zcard("pneumo:1:index:time:all") == len(stored_ids) == len(client.keys("pneumo:1:image:*"))
        assert len(store.lists.page("time", "all", None, 50).records) == len(stored_ids)
        with pytest.raises(StoreUnavailable):
            store.probe()
    finally:
        server.kill()


def test_a_file_that_cannot_grow_by_a_block_takes_no_upload(own_redis):
    """As on a full disk, whose last block still takes some bytes: too little for an upload."""
    store = ListedStore.open(settings(own_redis.port))
    put(store, record(1))
    written = max(file.stat().st_size for file in own_redis.directory.rglob("*.aof"))
    resource.prlimit(own_redis.process.pid, resource.RLIMIT_FSIZE, (written + 2000, written + 2000))
    with pytest.raises(StoreUnavailable):
        store.probe()


def test_a_wrong_password_is_rejected_without_secrets_in_the_message(redis_server):
    store = ListedStore.open(settings(redis_server.port, "a-wrong-password"))
    with pytest.raises(StoreUnavailable) as caught:
        store.probe()
    assert "wrong" not in str(caught.value)


def test_a_hanging_redis_is_a_timeout(own_redis):
    store = ListedStore.open(settings(own_redis.port))
    store.probe()
    own_redis.process.send_signal(signal.SIGSTOP)
    start = time.monotonic()
    try:
        with pytest.raises(StoreUnavailable):
            store.get(record(1).id)
    finally:
        own_redis.process.send_signal(signal.SIGCONT)
    assert time.monotonic() - start < 60  # without a timeout it would hang forever


def test_the_blocking_keys_command_is_not_used():
    sources = [path.read_text() for path in Path(listing.__file__).parent.glob("*.py")]
    assert sources and not [source for source in sources if ".keys(" in source]
