"""The trail only grows, keeps its order among processes, and shows what was changed or removed."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import redis

from tests.webapp.api.records import opened, put, record, settings
from tests.webapp.servers import MAC_KEY, rights_by_key
from webapp.api.storage.errors import NoTrail, StoreFull, StoreUnavailable, TrailUnavailable
from webapp.api.storage.keys import TRAIL, trail_of
from webapp.api.storage.lists import ListedStore
from webapp.api.storage.seal import Seal
from webapp.api.storage.trail import Act, Trail
from webapp.api.storage.trail_end import Head, hash_of

ID = record(1).id
VIEW = Act("view", "alice", "user", "reader", "r" * 32, ID)
UPLOAD, ERASURE = replace(VIEW, act="upload"), replace(VIEW, act="erase")


def linked(trail: Trail) -> list[str]:
    """The acts of the trail, whose entries must follow each other."""
    before, acts = Head(), []
    for item in trail.page(0, 1000):
        entry = item["entry"]
        assert entry is not None and (entry["n"], entry["previous"]) == (before.n + 1, before.hash)
        before = Head(item["n"], item["hash"])
        acts.append(f"{entry['act']} {entry['outcome']}")
    assert trail.head() == before
    return acts


def test_an_entry_has_its_number_the_hash_of_the_one_before_and_a_seal(store, redis_server):
    store.trail.append(VIEW)
    store.trail.append(replace(VIEW, actor="bob"))
    first, second = store.trail.page(0, 10)
    assert (first["n"], first["entry"]["previous"]) == (1, "")
    assert (second["n"], second["entry"]["previous"], second["entry"]["actor"]) == (2, first["hash"], "bob")
    assert {name: first["entry"][name] for name in ("act", "subject", "kind", "role", "outcome")} == {
        "act": "view", "subject": ID, "kind": "user", "role": "reader", "outcome": "done"}  # fmt: skip
    sealed = redis_server.client().hget(TRAIL, "2")
    Seal(bytes.fromhex(MAC_KEY)).open(TRAIL, sealed)
    assert hash_of(sealed) == second["hash"] and store.trail.page(1, 10) == [second]


def test_processes_and_threads_that_record_at_the_same_time_leave_one_chain(redis_server):
    trails = [opened(redis_server).trail for _ in range(3)]
    with ThreadPoolExecutor(9) as pool:
        list(pool.map(lambda n: trails[n % 3].append(VIEW), range(90)))
    assert len(linked(trails[0])) == 90


def test_an_entry_needs_one_command_while_no_other_process_records(store, redis_server):
    store.trail.append(VIEW)
    client = redis_server.client()
    before = client.info("stats")["total_commands_processed"]
    for _ in range(10):
        store.trail.append(VIEW)
    assert client.info("stats")["total_commands_processed"] - before == 11  # with the question itself


def test_a_change_and_its_entry_are_stored_together(store):
    put(store, record(2))
    store.put(record(1), None, recorded=lambda identifier: replace(UPLOAD, subject=identifier))
    store.put(record(1), None, recorded=lambda identifier: replace(UPLOAD, subject=identifier))
    made = store.reviews.add(ID, {"prediction": ID, "label": "unsure", "comment": "", "created": "2026"}, VIEW)
    store.reviews.withdraw(ID, made["id"], "2026-01-01T00:00:00Z", act=VIEW)
    store.reviews.withdraw(ID, made["id"], "2026-01-01T00:00:00Z", act=VIEW)
    assert store.eraser.erase(ID, ERASURE) == "erased"
    assert store.eraser.erase(ID, ERASURE) == "before"
    assert linked(store.trail) == [
        *("upload done", "upload unchanged", "view done", "view done", "view unchanged"),
        *("erase done", "erase unchanged"),
    ]


def test_changes_of_two_processes_and_views_leave_one_chain(redis_server):
    stores = [opened(redis_server) for _ in range(2)]

    def work(number: int) -> None:
        if number % 3:
            stores[number % 2].trail.append(VIEW)
        else:
            stores[number % 2].put(record(number), None, recorded=lambda _: UPLOAD)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(60)))
    assert sorted(linked(stores[0].trail)) == ["upload done"] * 20 + ["view done"] * 40
    assert len(list(stores[0].ids())) == 20


BY_KEY = pytest.mark.skipif(not rights_by_key(), reason="Redis 7 or newer")


@pytest.mark.parametrize("hindrance", [pytest.param("right", marks=BY_KEY), "type"])
def test_what_cannot_be_recorded_is_not_done(redis_server, hindrance):
    store, client = opened(redis_server), redis_server.client()
    put(store, record(1))
    rules = next(line for line in client.acl_list() if line.startswith("user api ")).split(" ", 2)[2]
    if hindrance == "right":
        client.execute_command("ACL", "SETUSER", "api", "clearselectors", "+watch")
    else:
        client.set(TRAIL, "x")
    try:
        expected = NoTrail if hindrance == "right" else TrailUnavailable
        for act in (
            lambda: store.put(record(2), None, recorded=lambda _: UPLOAD),
            lambda: store.reviews.add(ID, {"prediction": ID, "label": "unsure", "comment": "", "created": ""}, VIEW),
            lambda: store.eraser.erase(ID, ERASURE),
            store.probe,
        ):
            with pytest.raises(StoreUnavailable) as refusal:
                act()
            assert isinstance(refusal.value, expected) or hindrance == "right"
    finally:
        client.execute_command("ACL", "SETUSER", "api", "reset", *_rules(rules))
    client.delete(TRAIL)
    assert list(store.ids()) == [ID] and store.reviews.of(ID) == ([], 0)


def _rules(line: str) -> list[str]:
    """The rules of an ACL line; a selector in parentheses is one rule."""
    words, depth, rules = line.split(), 0, []
    for word in words:
        if depth:
            rules[-1] += f" {word}"
        else:
            rules.append(word)
        depth += word.count("(") - word.count(")")
    return rules


def test_acts_that_could_not_be_recorded_are_named_by_the_next_entry(store, redis_server, caplog):
    client = redis_server.client()
    client.set(TRAIL, "x")
    assert not store.trail.append_or_owe(VIEW) and not store.trail.append_or_owe(VIEW)
    assert caplog.text.count(f"view of {ID} by user alice") == 2
    client.delete(TRAIL)
    assert store.trail.append_or_owe(VIEW)
    assert linked(store.trail) == ["unrecorded done", "view done"]
    assert store.trail.page(0, 1)[0]["entry"]["detail"].startswith("2 acts from ")


def test_a_full_store_still_erases_and_the_trail_says_so(store, redis_server):
    client = redis_server.client()
    put(store, record(1))
    limit = client.config_get("maxmemory")["maxmemory"]
    try:
        client.config_set("maxmemory", client.info("memory")["used_memory"] // 2)
        assert not store.trail.append_or_owe(VIEW)
        with pytest.raises(StoreFull):
            store.trail.append(VIEW)
        assert store.get(ID).id == ID
        assert store.eraser.erase(ID, ERASURE) == "erased"
    finally:
        client.config_set("maxmemory", limit)
    store.trail.append(VIEW)
    assert linked(store.trail) == ["unrecorded done", "view done"]
    assert "2 acts" in store.trail.page(0, 1)[0]["entry"]["detail"]  # the view and the erasure


def test_a_lost_answer_does_not_record_an_act_twice(store, monkeypatch):
    store.trail.append(VIEW)
    whole = redis.Redis.hsetnx

    def sent_again(self, *arguments):
        whole(self, *arguments)
        monkeypatch.setattr(redis.Redis, "hsetnx", whole)
        return whole(self, *arguments)

    monkeypatch.setattr(redis.Redis, "hsetnx", sent_again)
    store.trail.append(VIEW)
    assert linked(store.trail) == ["view done"] * 2


def test_a_changed_entry_and_one_that_stands_elsewhere_are_not_shown(store, redis_server):
    for _ in range(3):
        store.trail.append(VIEW)
    client = redis_server.client()
    client.hset(TRAIL, "2", client.hget(TRAIL, "2").replace(b"alice", b"carol"))
    client.hset(TRAIL, "3", client.hget(TRAIL, "1"))
    assert [item["entry"] is None for item in store.trail.page(0, 10)] == [False, True, True]


@pytest.mark.parametrize("removed", [(4, 5), (3,), (1, 2), (1, 5)])
def test_after_entries_were_removed_the_next_one_overwrites_none(redis_server, removed):
    store, client = opened(redis_server), redis_server.client()
    for _ in range(5):
        store.trail.append(VIEW)
    client.hdel(TRAIL, *map(str, removed))
    kept = client.hgetall(TRAIL)
    opened(redis_server).trail.append(replace(VIEW, actor="after"))
    assert kept.items() <= client.hgetall(TRAIL).items() and client.hlen(TRAIL) == len(kept) + 1


@pytest.mark.parametrize("chain", ["", "a" * 32])
@pytest.mark.parametrize(
    "removed", [range(100, 220), range(2, 311), [*range(1, 61), *range(192, 252)], [*range(1, 3), *range(190, 310)]]
)
def test_after_a_restart_the_end_is_found_beyond_any_gap(redis_server, removed, chain):
    trail, client = opened(redis_server).trail, redis_server.client()
    for _ in range(311):
        trail.append(VIEW)
    end, key = trail.head(), trail_of(chain)
    if chain:
        client.rename(TRAIL, key)
    client.hdel(key, *map(str, removed))
    client.hset(key, "9" * 12, client.hget(key, "311"))  # stands where it was not written
    assert opened(redis_server).trail.head(chain) == end
    rules = next(line for line in client.acl_list() if line.startswith("user api ")).split(" ", 2)[2]
    try:  # the rights of an earlier version
        client.execute_command("ACL", "SETUSER", "api", "reset", *_rules(rules.replace(" +hkeys", "")))
        assert opened(redis_server).trail.head(chain).n
    finally:
        client.execute_command("ACL", "SETUSER", "api", "reset", *_rules(rules))


def test_entries_of_a_key_that_was_replaced_stay_readable(redis_server):
    opened(redis_server).trail.append(VIEW)
    rotated = replace(settings(redis_server.port), mac_key=b"k" * 32, mac_keys_previous=(bytes.fromhex(MAC_KEY),))
    trail = ListedStore.open(rotated).trail
    trail.append(VIEW)
    assert linked(trail) == ["view done"] * 2


COMMANDS = [
    f"DEL {TRAIL}", f"SET {TRAIL} x", f"HSET {TRAIL} 1 x", f"HDEL {TRAIL} 1", f"UNLINK {TRAIL}", f"RPUSH {TRAIL} x",
    f"RENAME {TRAIL} pneumo:1:x", f"EXPIRE {TRAIL} 1", f"XADD {TRAIL} * a b", f"GETDEL {TRAIL}",
    f"MIGRATE h 1 {TRAIL} 0 1",
    f"COPY pneumo:1:x {TRAIL} REPLACE", f"RESTORE {TRAIL} 0 x REPLACE", f"ZADD {TRAIL} 0 x",
]  # fmt: skip


@BY_KEY
@pytest.mark.parametrize("command", COMMANDS)
def test_the_api_can_neither_change_nor_remove_what_is_in_the_trail(store, redis_server, command):
    store.trail.append(VIEW)
    before = redis_server.client().hgetall(TRAIL)
    with pytest.raises(redis.exceptions.NoPermissionError):
        store._redis.execute_command(*command.split())
    assert store._redis.hsetnx(TRAIL, "1", "x") == 0
    assert redis_server.client().hgetall(TRAIL) == before


def test_missing_acts_are_named_once_if_redis_fails_after_their_entry(store, redis_server, monkeypatch):
    redis_server.client().set(TRAIL, "x")
    assert not store.trail.append_or_owe(VIEW)
    redis_server.client().delete(TRAIL)
    add = store.trail._add

    def failing(act: Act) -> None:
        add(act)
        monkeypatch.setattr(store.trail, "_add", lambda _: (_ for _ in ()).throw(StoreUnavailable("gone")))

    monkeypatch.setattr(store.trail, "_add", failing)
    with pytest.raises(StoreUnavailable):
        store.trail.append(VIEW)
    monkeypatch.setattr(store.trail, "_add", add)
    store.trail.append(VIEW)
    assert linked(store.trail) == ["unrecorded done", "view done"]
