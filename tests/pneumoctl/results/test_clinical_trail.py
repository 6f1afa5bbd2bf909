"""A trail that was changed, shortened or exchanged is found, also in the store that imported it."""

import io
import json
import tarfile
from collections.abc import Callable
from typing import Any

import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.results import clinical_trail, mac_keys
from pneumoctl.results.clinical_trail import HEAD, Verification
from tests.pneumoctl.results.conftest import OTHER_KEY, StackWithStore
from tests.webapp.servers import MAC_KEY, RedisServer
from webapp.api.export import export
from webapp.api.restore import restore
from webapp.api.storage.keys import TRAIL
from webapp.api.storage.seal import Seal
from webapp.api.storage.store_copy import StoreCopy
from webapp.api.storage.trail import Act

StackOf = Callable[..., StackWithStore]
VIEW = Act("view", "alice", "user", "reader", "none", "0" * 32)


def verified(made: StackWithStore) -> Verification:
    """What a verification finds, in parts of two entries."""
    trail = StoreCopy(made.store._redis, made.store._seal).trail

    def read(after: int, _: int, chain: str) -> Any:
        head, following = trail.head(chain), after + 2
        return {"entries": trail.page(after, 2, chain), "next": following if following < head.n else None}

    return clinical_trail.verify(made.stack, read, mac_keys.of_stack(made.stack.secrets()).values())


def opened(archive: io.BytesIO) -> tarfile.TarFile:
    """An export."""
    return tarfile.open(fileobj=io.BytesIO(archive.getvalue()))


def recorded(stack_of: StackOf, number: int = 5, name: str = "t", key: str = MAC_KEY) -> StackWithStore:
    made = stack_of(name, key)
    for _ in range(number):
        made.store.trail.append(VIEW)
    return made


def test_a_whole_trail_is_verified_and_its_last_entry_is_kept(stack_of: StackOf) -> None:
    made = recorded(stack_of)
    found = verified(made)
    assert (found.entries, found.n, found.faults) == (5, 5, [])
    kept = json.loads((made.stack.directory / HEAD).read_text())
    assert (kept["n"], kept["hash"]) == (5, made.store.trail.head().hash)
    made.store.trail.append(VIEW)
    assert (verified(made).n, verified(made).faults) == (6, [])


def test_an_empty_trail_is_whole(stack_of: StackOf) -> None:
    made = recorded(stack_of, 0)
    assert verified(made).faults == verified(made).faults == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda client: client.hset(TRAIL, "3", client.hget(TRAIL, "3").replace(b"alice", b"x")), "entry 3: changed"),
        (lambda client: client.hset(TRAIL, "3", client.hget(TRAIL, "2")), "entry 3: changed"),
        (lambda client: client.hdel(TRAIL, "3"), "entry 3: missing"),
        (lambda client: client.hdel(TRAIL, "2", "3"), "entry 2 to 3: missing"),
        (lambda client: client.hdel(TRAIL, "1"), "entry 1: missing"),
        (lambda client: client.hdel(TRAIL, "5"), "the end: entry 5"),
        (lambda client: client.delete(TRAIL), "the end: entry 5"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("goes_on", [False, True])
def test_what_was_changed_or_removed_is_found(
    stack_of: StackOf, server: RedisServer, change: Callable[..., object], fault: str, goes_on: bool
) -> None:
    made = recorded(stack_of)
    verified(made)
    before = (made.stack.directory / HEAD).read_text()
    change(server.client())
    if goes_on:
        StoreCopy(made.store._redis, made.store._seal).trail.append(VIEW)
    assert fault in "; ".join(verified(made).faults)
    assert (made.stack.directory / HEAD).read_text() == before
    assert verified(made).faults


def test_a_trail_that_was_sealed_with_another_key_is_not_the_stacks(stack_of: StackOf, server: RedisServer) -> None:
    made = recorded(stack_of)
    forged = StoreCopy(server.client(), Seal(bytes.fromhex(OTHER_KEY)))
    forged.trail.append(VIEW)
    assert verified(made).faults == ["entry 6: changed after it was written"]


def test_an_imported_trail_stays_verifiable_in_another_stack(stack_of: StackOf, server: RedisServer) -> None:
    made, out = recorded(stack_of), io.BytesIO()
    head = made.store.trail.head()
    export(made.store, out)
    server.client().flushall()
    other = recorded(stack_of, 2, "other", OTHER_KEY)
    verified(other)
    keys = Seal(bytes.fromhex(OTHER_KEY), (bytes.fromhex(MAC_KEY),))
    for entries in (5, 0):
        store = StoreCopy(other.store._redis, keys)
        done = restore(store, Seal(bytes.fromhex(OTHER_KEY)), opened(out), actor="eve@host")
        assert done["trail"] == entries
    found = verified(other)
    assert (found.faults, found.imported, found.entries, found.n) == ([], [head.hash[:32]], 5 + 4, 4)
    server.client().hdel(f"{TRAIL}:{head.hash[:32]}", "5")
    assert verified(other).faults == [
        f"the end of the imported trail {head.hash[:32]}: entry 5, the last one imported, is missing or changed"
    ]


def test_the_last_entry_that_was_seen_may_be_in_an_imported_trail(stack_of: StackOf, server: RedisServer) -> None:
    """The host of the store was replaced, and its new store has imported what the old one held."""
    made, out = recorded(stack_of), io.BytesIO()
    verified(made)
    export(made.store, out)
    server.client().flushall()
    fresh = StoreCopy(made.store._redis, made.store._seal)
    fresh.trail.append(VIEW)
    assert "the end: entry 5" in verified(made).faults[0]
    restore(fresh, Seal(bytes.fromhex(MAC_KEY)), opened(out))
    found = verified(made)
    assert (found.faults, found.n, len(found.imported)) == ([], 2, 1)


def test_an_import_into_the_same_store_adds_no_second_trail(stack_of: StackOf) -> None:
    made, out = recorded(stack_of), io.BytesIO()
    export(made.store, out)
    made.store.trail.append(VIEW)
    own = Seal(bytes.fromhex(MAC_KEY))
    assert restore(made.store, own, opened(out))["trail"] == 0
    found = verified(made)
    assert (found.faults, found.imported, found.n) == ([], [], 7)


@pytest.mark.parametrize("answer", [None, {}, {"entries": 1, "next": None}, {"entries": [{}], "next": None}])
def test_an_answer_that_is_no_trail_is_an_error(answer: Any) -> None:
    with pytest.raises(PneumoError, match="no trail"):
        list(clinical_trail.entries(lambda *_: answer, [MAC_KEY]))
    with pytest.raises(PneumoError, match="again"):
        list(clinical_trail.entries(lambda *_: {"entries": [], "next": 0}, [MAC_KEY]))


def test_acts_of_imported_trails_are_shown_with_the_others_by_time(stack_of: StackOf, server: RedisServer) -> None:
    made, outs = recorded(stack_of, 2), (io.BytesIO(), io.BytesIO())
    for out in outs:  # the second has the entries of the first
        export(made.store, out)
        made.store.trail.append(VIEW)
    server.client().flushall()
    fresh = StoreCopy(made.store._redis, made.store._seal)
    for out in outs:
        restore(fresh, Seal(bytes.fromhex(MAC_KEY)), opened(out))
    fresh.trail.append(VIEW)

    def read(after: int, _: int, chain: str) -> Any:
        return {"entries": fresh.trail.page(after, 99, chain), "next": None}

    def shown(last: int, act: str = "view") -> list[tuple[bool, int]]:
        def matches(entry: clinical_trail.Entry) -> bool:
            return entry.content is None or entry.content["act"] == act

        found = clinical_trail.newest(read, [MAC_KEY], matches, last)
        return [(bool(each.chain), each.n) for each in found]

    assert shown(0) == [(True, 1), (True, 2), (True, 3), (False, 3)]
    assert shown(2) == [(True, 3), (False, 3)]
    assert shown(0, "import") == [(False, 1), (False, 2)]
