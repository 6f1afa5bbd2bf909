"""16-bit films in exports and imports: as the pictures, whole or named as damaged."""

import hashlib
from dataclasses import replace

import pytest

from tests.webapp.api.records import PICTURE, put, record, settings
from tests.webapp.api.storage.test_erasure import DAY, Clock, keys
from tests.webapp.api.test_restore import ALL, OWN, archive, changed
from webapp.api.restore import Refused, restore
from webapp.api.storage.errors import Damaged, Missing, PictureDamaged
from webapp.api.storage.records import Record
from webapp.api.storage.store_copy import StoreCopy

FILM = b"PN16 a film"
FILMED = replace(record(1), film={"sha256": hashlib.sha256(FILM).hexdigest()})
NAME = f"films/{FILMED.id}.bin"


@pytest.fixture
def store(redis_server) -> StoreCopy:
    """A store with a result that has a film, and one that has none."""
    opened = StoreCopy.open(settings(redis_server.port))
    put(opened, record(2))
    opened.put(FILMED, PICTURE, film=FILM)
    return opened


def counted(**counts: int) -> dict:
    return {**ALL, **counts}


def test_a_film_goes_with_its_result(store, redis_server) -> None:
    with archive(store) as packed:
        assert [name for name in packed.getnames() if name.startswith("films/")] == [NAME]
        assert packed.extractfile(NAME).read() == FILM
        redis_server.client().flushall()
        assert restore(store, OWN, packed) == counted(added=2)
        assert (store.film(FILMED.id), store.get(FILMED.id)) == (FILM, FILMED)
        assert restore(store, OWN, packed) == counted(present=2)
        redis_server.client().set(f"pneumo:1:film:{FILMED.id}", b"damaged")
        with pytest.raises(PictureDamaged):
            store.film(FILMED.id)
        assert restore(store, OWN, packed) == counted(present=1, repaired=1)
        assert store.film(FILMED.id) == FILM


def test_a_film_that_is_not_the_one_of_its_record_is_not_imported(store, redis_server) -> None:
    with archive(store) as packed, changed(packed, NAME, b"a film", b"b film") as other:
        redis_server.client().flushall()
        with pytest.raises(Refused):
            restore(store, OWN, other)
        assert not list(store.ids())


def test_a_damaged_film_is_exported_as_such_and_its_result_is_imported_without_it(store, redis_server) -> None:
    redis_server.client().set(f"pneumo:1:film:{FILMED.id}", b"damaged")
    with archive(store) as packed:
        assert packed.extractfile(f"damaged/{FILMED.id}.film.bin").read() == b"damaged"
        redis_server.client().flushall()
        assert restore(store, OWN, packed) == counted(added=2, damaged=1)
        assert store.picture(FILMED.id) == PICTURE
        with pytest.raises(PictureDamaged):
            store.film(FILMED.id)


def test_a_film_expires_with_its_result(redis_server) -> None:
    clock = Clock(redis_server)
    clock.store.put(FILMED, PICTURE, film=FILM)
    clock.passed += 31 * DAY
    with pytest.raises(Missing):
        clock.store.film(FILMED.id)
    assert clock.store.eraser.erase_expired(10) == 1
    assert keys(redis_server) == set()


def test_a_film_that_is_left_over_of_a_result_is_erased(redis_server) -> None:
    clock = Clock(redis_server)
    redis_server.client().set(f"pneumo:1:film:{FILMED.id}", FILM)
    assert clock.store.eraser.erase_unlisted() == 1
    assert keys(redis_server) == set()


def test_a_record_with_something_else_as_its_film_is_damaged(store) -> None:
    bad = Record(record(3).prediction, None, {"sha256": 7})
    store.put(bad, None)
    with pytest.raises(Damaged):
        store.get(bad.id)
