"""An import adds what is missing, verifies every seal first, and never replaces a stored result."""

import io
import json
import tarfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.webapp.api.records import PICTURE, opinions, put, record, settings
from tests.webapp.servers import MAC_KEY, RedisServer
from webapp.api.export import export
from webapp.api.restore import Refused, main, restore
from webapp.api.storage.changes import CHANGES, SETTLED
from webapp.api.storage.errors import Missing, StoreFull, StoreUnavailable
from webapp.api.storage.listing import Filters
from webapp.api.storage.lists import ListedStore
from webapp.api.storage.retention import Retention
from webapp.api.storage.seal import Seal
from webapp.api.storage.store_copy import StoreCopy

OTHER_KEY = "a5" * 32
ALL = {"added": 0, "present": 0, "kept": 0, "repaired": 0, "reviews": 0, "withdrawals": 0}
ALL |= {"damaged": 0, "expired": 0, "trail": 0, "brought_back": []}
OWN = Seal(bytes.fromhex(MAC_KEY))


@pytest.fixture
def store(redis_server: RedisServer) -> StoreCopy:
    """A store on an empty Redis."""
    return StoreCopy.open(settings(redis_server.port))


def review(number: int, second: int = 0) -> dict:
    """A review of the record of that number."""
    created = f"2026-01-02T00:00:{second:02d}.000000Z"
    return {"prediction": f"{number:032x}", "label": "unsure", "comment": "", "created": created}


def archive(store: StoreCopy) -> tarfile.TarFile:
    """An export of the store, opened."""
    out = io.BytesIO()
    export(store, out)
    return tarfile.open(fileobj=io.BytesIO(out.getvalue()))


def changed(packed: tarfile.TarFile, name: str, old: bytes, new: bytes) -> tarfile.TarFile:
    """The archive with another text in one member."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as copy:
        for member in packed.getmembers():
            content = packed.extractfile(member).read()
            if member.name == name:
                assert old in content
                content = content.replace(old, new)
            member.size = len(content)
            copy.addfile(member, io.BytesIO(content))
    return tarfile.open(fileobj=io.BytesIO(out.getvalue()))


def without(packed: tarfile.TarFile, name: str) -> tarfile.TarFile:
    """The archive without one member."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as copy:
        for member in packed.getmembers():
            if member.name != name:
                copy.addfile(member, packed.extractfile(member))
    return tarfile.open(fileobj=io.BytesIO(out.getvalue()))


def contents(server: RedisServer) -> dict[str, object]:
    """Every key of the store with its value, without what tells the other processes of changes."""
    client, values = server.client(), {}
    for key in set(client.keys("pneumo:1:*")) - {CHANGES.encode(), SETTLED.encode()}:
        kind = client.type(key)
        read = {b"string": client.get, b"list": lambda key: client.lrange(key, 0, -1)}
        values[key] = read.get(kind, lambda key: client.zrange(key, 0, -1))(key)
    return values


def test_an_export_fills_an_empty_store_with_the_same_bytes_and_twice_changes_nothing(store, redis_server):
    put(store, record(1), record(2, 0.1), record(3, None))
    store.reviews.add(record(1).id, review(1))
    packed, before = archive(store), contents(redis_server)
    redis_server.client().flushall()
    assert restore(store, OWN, packed) == {**ALL, "added": 3, "reviews": 1}
    assert contents(redis_server) == before
    assert restore(store, OWN, packed) == {**ALL, "present": 3}
    assert contents(redis_server) == before


def test_an_import_gives_signs_of_life_and_looks_each_picture_up_once(store, redis_server, monkeypatch):
    put(store, *(record(number) for number in range(1, 6)))
    packed, signs = archive(store), []
    redis_server.client().flushall()
    monkeypatch.setattr("webapp.api.restore._SIGN", 2)
    monkeypatch.setattr(packed, "getmember", lambda name: pytest.fail(f"looked through the archive for {name}"))
    assert restore(store, OWN, packed, lambda: signs.append(1))["added"] == 5
    assert len(signs) == 4  # while it verifies, and while it adds


def test_the_signs_of_life_and_the_counts_go_to_stderr_and_stdout(store, redis_server, monkeypatch, capfd):
    put(store, record(1))
    out = io.BytesIO()
    export(store, out)
    order = json.dumps({"size": len(out.getvalue()), "keys": []}).encode() + b"\n"
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(order + out.getvalue())))
    monkeypatch.setattr("webapp.api.restore._SIGN", 1)
    monkeypatch.setattr("webapp.api.restore.StoreSettings.read", lambda _: settings(redis_server.port))
    monkeypatch.setattr("webapp.api.restore.Environment", lambda: SimpleNamespace(check=lambda: None))
    assert main() == 0
    printed = capfd.readouterr()
    assert json.loads(printed.out)["present"] == 1 and printed.err == "\n\n"


def test_a_stored_result_stays_and_gets_only_missing_reviews(store, redis_server):
    put(store, record(1))
    store.reviews.add(record(1).id, review(1))
    packed = archive(store)
    redis_server.client().flushall()
    newer = replace(record(1), prediction={**record(1).prediction, "file": "newer.png"})
    put(store, newer)
    store.reviews.add(record(1).id, review(1, 5))
    assert restore(store, OWN, packed) == {**ALL, "kept": 1, "reviews": 1}
    assert store.get(record(1).id) == newer
    assert opinions(store, 1) == ([review(1), review(1, 5)], 0)  # oldest first


def test_an_import_says_which_erased_results_it_brings_back(store, redis_server):
    put(store, *(record(number) for number in range(1, 5)))
    packed = archive(store)
    for number in (1, 2):
        store.eraser.erase(record(number).id)
    assert store.eraser.erased() == [record(1).id, record(2).id]
    put(store, record(2))  # sent again since
    assert restore(store, OWN, packed) == {**ALL, "added": 1, "present": 3, "brought_back": [record(1).id]}
    assert restore(store, OWN, packed) == {**ALL, "present": 4}
    assert store.get(record(1).id) == record(1)


def test_an_import_brings_no_review_back_of_a_result_that_was_erased_and_sent_again(store):
    put(store, record(1))
    store.reviews.add(record(1).id, review(1))
    packed = archive(store)
    store.eraser.erase(record(1).id)
    put(store, record(1))  # the very same record: then the id is named
    assert restore(store, OWN, packed) == {**ALL, "present": 1, "reviews": 1, "brought_back": [record(1).id]}
    store.eraser.erase(record(1).id)
    again = replace(record(1), prediction=record(1).prediction | {"created": "2026-01-02T00:00:00.001Z"})
    put(store, again)
    assert restore(store, OWN, packed) == {**ALL, "kept": 1}
    assert store.reviews.of(record(1).id) == ([], 0)


def test_an_import_revives_no_withdrawn_review_and_brings_withdrawals(store, redis_server):
    put(store, record(1))
    made = store.reviews.add(record(1).id, review(1))
    before = archive(store)
    withdrawn = store.reviews.withdraw(record(1).id, made["id"], "2026-01-03T00:00:00.000000Z")
    after = archive(store)
    assert json.loads(after.extractfile("feedback.jsonl").read()) == withdrawn
    assert json.loads(after.extractfile("manifest.json").read())["counts"]["reviews"] == 1 == store.summary()["reviews"]
    assert restore(store, OWN, before) == {**ALL, "present": 1}
    assert store.reviews.of(record(1).id) == ([withdrawn], 0)
    for packed in (before, after):  # also into another store, in either order
        redis_server.client().flushall()
        restore(store, OWN, packed)
        restore(store, OWN, after)
        assert restore(store, OWN, before) == {**ALL, "present": 1}
        assert store.reviews.of(record(1).id) == ([withdrawn], 0)
    redis_server.client().flushall()
    restore(store, OWN, before)
    assert restore(store, OWN, after) == {**ALL, "present": 1, "withdrawals": 1}


def test_what_is_erased_during_an_import_comes_back_by_name_or_stays_erased(store, monkeypatch):
    put(store, record(1), record(2))
    packed, add = archive(store), store.add

    def erasing(item, own):
        store.eraser.erase(item.id)
        return add(item, own)

    monkeypatch.setattr(store, "add", erasing)
    assert restore(store, OWN, packed) == {**ALL, "added": 2, "brought_back": [record(1).id, record(2).id]}


def test_an_expired_result_gives_way_to_the_newer_one_of_an_import(store, redis_server):
    newer = replace(record(1), prediction=record(1).prediction | {"created": "2026-02-10T00:00:00.000Z"})
    put(store, newer)
    packed = archive(store)
    redis_server.client().flushall()
    put(store, record(1))
    store.reviews.add(record(1).id, review(1))
    day_41 = datetime.fromisoformat("2026-02-11T00:00:00Z").timestamp()
    client = redis_server.client()
    expiring = StoreCopy(client, OWN, Retention(30, lambda: day_41, lambda: day_41))
    assert restore(expiring, OWN, packed) == {**ALL, "added": 1}
    assert (expiring.get(newer.id), expiring.reviews.of(newer.id)) == (newer, ([], 0))
    assert client.zcard("pneumo:1:index:time:all") == 1


def test_an_import_that_has_no_memory_for_its_notes_has_added_everything(store, redis_server, monkeypatch):
    put(store, record(1), record(2))
    store.eraser.erase(record(2).id)
    packed = archive(store)
    redis_server.client().flushall()

    def full(*_):
        raise StoreFull("the store is full")

    monkeypatch.setattr("webapp.api.storage.erasure.Eraser.note", full)
    assert restore(store, OWN, packed) == {**ALL, "added": 1}


def test_erased_ids_of_a_manifest_that_are_none_are_passed_over(store):
    put(store, record(1))
    packed = changed(archive(store), "manifest.json", b'"erased": []', b'"erased": [1, null, {}]')
    assert restore(store, OWN, packed) == {**ALL, "present": 1}


def test_what_was_erased_is_known_in_the_store_that_an_export_fills(store, redis_server):
    put(store, record(1), record(2))
    older = archive(store)
    store.eraser.erase(record(1).id)
    newer = archive(store)
    assert json.loads(newer.extractfile("manifest.json").read())["erased"] == [record(1).id]
    assert record(1).id not in newer.extractfile("sealed.jsonl").read().decode()
    assert f"images/{record(1).id}.jpg" not in newer.getnames()
    redis_server.client().flushall()
    assert restore(store, OWN, newer) == {**ALL, "added": 1}
    with pytest.raises(Missing, match="was erased"):
        store.get(record(1).id)
    assert restore(store, OWN, older) == {**ALL, "added": 1, "present": 1, "brought_back": [record(1).id]}


def test_expired_results_are_neither_exported_nor_imported(redis_server):
    for_ever = StoreCopy.open(settings(redis_server.port))
    put(for_ever, record(1), record(2), record(3, None))
    packed = archive(for_ever)
    for_a_day = StoreCopy.open(replace(settings(redis_server.port), retention_days=1))
    assert for_a_day.result_ids() == [] and for_a_day.summary()["results"] == 0
    assert json.loads(archive(for_a_day).extractfile("manifest.json").read())["counts"]["results"] == 0
    redis_server.client().flushall()
    assert restore(for_a_day, OWN, packed) == {**ALL, "expired": 3}
    assert contents(redis_server) == {}


def test_damaged_results_and_pictures_are_repaired(store, redis_server):
    put(store, record(1), record(2))
    packed, before = archive(store), contents(redis_server)
    redis_server.client().set(f"pneumo:1:record:{record(1).id}", b"damaged")
    redis_server.client().set(f"pneumo:1:image:{record(2).id}", b"damaged")
    assert restore(store, OWN, packed)["repaired"] == 2
    assert contents(redis_server) == before


@pytest.mark.parametrize("missing", [True, False])
def test_a_result_whose_picture_was_damaged_before_the_export_is_added_without_it(store, redis_server, missing):
    put(store, record(1), record(2))
    client, image = redis_server.client(), f"pneumo:1:image:{record(1).id}"
    client.delete(image) if missing else client.set(image, b"damaged")
    packed = archive(store)
    client.flushall()
    assert restore(store, OWN, packed) == {**ALL, "added": 2, "damaged": 1}
    assert store.get(record(1).id) == record(1) and store.picture(record(2).id) == PICTURE
    assert not client.exists(image)
    client.set(image, PICTURE)  # a picture that is stored stays
    assert restore(store, OWN, packed) == {**ALL, "present": 2, "damaged": 1}
    assert store.picture(record(1).id) == PICTURE


def test_a_picture_that_the_export_does_not_say_to_be_damaged_must_be_there(store, redis_server):
    put(store, record(1))
    name = f"images/{record(1).id}.jpg"
    packed = without(archive(store), name)
    redis_server.client().flushall()
    with pytest.raises(Refused):
        restore(store, OWN, packed)


def test_results_of_another_stack_are_sealed_anew_if_their_key_is_given(store, redis_server):
    there = StoreCopy.open(replace(settings(redis_server.port), mac_key=bytes.fromhex(OTHER_KEY)))
    put(there, record(1))
    there.reviews.add(record(1).id, review(1))
    packed = archive(there)
    redis_server.client().flushall()
    with pytest.raises(Refused, match="1 of 1 results"):
        restore(store, OWN, packed)
    assert contents(redis_server) == {}
    both = StoreCopy.open(replace(settings(redis_server.port), mac_keys_previous=(bytes.fromhex(OTHER_KEY),)))
    assert restore(both, OWN, packed)["added"] == 1
    assert store.get(record(1).id) == record(1)  # opened with this store's key alone
    assert (store.picture(record(1).id), opinions(store, 1)) == (PICTURE, ([review(1)], 0))
    listed = ListedStore.open(settings(redis_server.port)).lists.page("time", "all", None, 10)
    assert [each.id for each in listed.records] == [record(1).id]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("sealed.jsonl", b"0.75", b"0.25"),
        (f"images/{1:032x}.jpg", PICTURE, PICTURE + b"x"),
        ("sealed.jsonl", b"unsure", b"surely"),
        ("manifest.json", b'"results": 1', b'"results": 2'),
    ],
)
def test_a_changed_archive_is_refused_as_a_whole(store, redis_server, name, old, new):
    put(store, record(1))
    store.reviews.add(record(1).id, review(1))
    packed = changed(archive(store), name, old, new)
    redis_server.client().flushall()
    with pytest.raises(Refused):
        restore(store, OWN, packed)
    assert contents(redis_server) == {}


def test_an_import_that_was_broken_off_is_completed_by_the_next(store, redis_server, monkeypatch):
    put(store, *(record(number) for number in range(1, 6)))
    packed, before = archive(store), contents(redis_server)
    redis_server.client().flushall()
    add, added = store.add, []

    def twice(item, own):
        if len(added) == 2:
            raise StoreUnavailable("gone")
        added.append(item.id)
        return add(item, own)

    monkeypatch.setattr(store, "add", twice)
    with pytest.raises(StoreUnavailable):
        restore(store, OWN, packed)
    monkeypatch.undo()
    assert restore(store, OWN, packed) == {**ALL, "added": 3, "present": 2}
    assert contents(redis_server) == before


def test_a_sealed_line_is_what_the_store_held(store):
    put(store, record(1))
    line = json.loads(archive(store).extractfile("sealed.jsonl").read())
    assert line["record"].encode() == store.item(record(1).id).record and Path(line["id"]).name == record(1).id


def test_what_is_imported_is_in_the_list_of_a_process_that_runs(store, redis_server):
    put(store, record(1), record(2))
    store.reviews.add(record(1).id, review(1))
    packed = archive(store)
    redis_server.client().flushall()
    put(store, record(1))
    running = ListedStore.open(settings(redis_server.port))
    with running.lists._worklist.rows(120):
        pass
    assert running.lists.page("time", "all", None, 10, Filters(review="unread")).total == 1
    restore(store, OWN, packed)
    assert running.lists.page("time", "all", None, 10, Filters(review="unread")).records == [record(2)]
    assert running.lists.page("time", "all", None, 10, Filters(review="reviewed")).records == [record(1)]


def test_an_import_into_a_stack_of_an_earlier_version_announces_nothing(store, own_redis):
    """Its user of the API has no right to, and nobody there reads it."""
    put(store, record(1))
    store.reviews.add(record(1).id, review(1))
    packed = archive(store)
    own_redis.client().execute_command("ACL", "SETUSER", "api", "-xadd")
    earlier = StoreCopy.open(settings(own_redis.port))
    assert restore(earlier, OWN, packed) == ALL | {"added": 1, "reviews": 1}
    assert not own_redis.client().exists(CHANGES)
    with pytest.raises(StoreUnavailable):  # but an API that would be silent about its uploads is not ready
        earlier.probe()


def test_folder_and_study_come_with_an_import(store, redis_server):
    source = {"folder": "ward 3/p1", "study": "ABCDEFGHIJKL", "sha256": "0" * 64}
    film = replace(record(1), source=source)
    put(store, film, record(2))
    packed = archive(store)
    redis_server.client().flushall()
    assert restore(store, OWN, packed) == ALL | {"added": 2}
    assert (store.get(film.id), store.get(record(2).id)) == (film, record(2))
    lists = ListedStore.open(settings(redis_server.port)).lists
    assert lists.page("time", "all", None, 9, Filters(study="ABCDEFGHIJKL")).records == [film]
    assert lists.of_content("0" * 64, 5) == [film]
