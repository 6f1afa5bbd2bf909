"""The queue delivers each film at least once, to one process at a time, and loses none when Redis is killed."""

import pytest

from tests.webapp.servers import RedisServer
from webapp.api.storage.errors import Damaged, Missing, StoreFull, StoreUnavailable
from webapp.api.storage.film_queue import FAILED, QUEUE, FilmQueue
from webapp.api.storage.keys import key_of
from webapp.api.storage.lists import ListedStore

LEASE = 60.0


@pytest.fixture
def queue(store: ListedStore) -> FilmQueue:
    return store.queue


def take(queue: FilmQueue, lease_s: float = LEASE):
    return queue.claim(lease_s, 0.01)


def test_a_film_is_delivered_once_with_its_name_and_erased_when_it_is_finished(queue, redis_server):
    assert take(queue) is None
    identifier = queue.put(b"content \r\n\0", "CR-A.dcm")
    assert queue.state().waiting == 1 and queue.state().oldest_s is not None
    claim = take(queue)
    assert (claim.id, claim.file, claim.deliveries) == (identifier, "CR-A.dcm", 1)
    assert queue.film(claim).content == b"content \r\n\0"
    assert take(queue) is None, "another process took it"
    queue.finish(claim)
    assert (queue.state().waiting, queue.state().oldest_s, queue.state().failed) == (0, None, 0)
    assert not redis_server.client().exists(key_of("received", identifier))


def test_films_come_in_the_order_of_their_arrival(queue):
    for number in range(3):
        queue.put(b"%d" % number, "a film")
    assert [queue.film(take(queue)).content for _ in range(3)] == [b"0", b"1", b"2"]


def test_a_film_that_is_sent_twice_is_queued_once(queue):
    assert queue.put(b"x", "a") == queue.put(b"x", "a")
    queue.put(b"x", "b")
    assert queue.state().waiting == 2


def test_a_film_whose_process_died_is_taken_again_and_its_deliveries_are_counted(queue):
    queue.put(b"x", "a")
    claims = [take(queue, lease_s=0) for _ in range(3)]
    assert [each.deliveries for each in claims] == [1, 2, 3]
    assert take(queue) is None


def test_a_film_that_is_given_back_comes_after_the_pause_and_is_not_counted(queue):
    queue.put(b"x", "a")
    queue.release(take(queue), LEASE, pause_s=LEASE)
    assert take(queue) is None
    queue.release(take(queue, lease_s=0), LEASE, pause_s=0)
    assert take(queue).deliveries == 1


def test_who_finishes_late_leaves_a_film_that_was_sent_again(queue):
    queue.put(b"x", "a")
    late, other = take(queue), take(queue, lease_s=0)
    queue.finish(other)
    queue.put(b"x", "a")
    queue.finish(late)
    queue.fail(late, "code", "reason")
    assert queue.film(take(queue)).content == b"x" and queue.state().failed == 0


def test_an_error_stays_until_it_is_tried_again_sent_again_or_discarded(queue):
    identifier = queue.put(b"x", "a")
    for again in (lambda: queue.retry(identifier), lambda: queue.put(b"x", "a")):
        queue.fail(take(queue), "internal", "It broke.")
        (error,) = queue.failed()
        assert (error.id, error.file, error.code, error.reason) == (identifier, "a", "internal", "It broke.")
        assert (queue.state().waiting, queue.state().failed) == (0, 1)
        again()
        assert (queue.state().waiting, queue.state().failed) == (1, 0) and not queue.failed()
    claim = take(queue)
    assert (claim.deliveries, queue.film(claim).content) == (1, b"x")
    queue.fail(claim, "internal", "It broke.")
    queue.discard(identifier)
    assert queue.state().failed == 0 and take(queue) is None
    for change in (queue.retry, queue.discard):
        with pytest.raises(Missing):
            change(identifier)


def test_an_error_and_its_end_are_announced_to_open_lists(queue, store):
    identifier, seen = queue.put(b"x", "a"), [store.lists.position()]
    queue.fail(take(queue), "internal", "It broke.")
    seen.append(store.lists.position())
    queue.retry(identifier)
    seen.append(store.lists.position())
    queue.fail(take(queue), "internal", "It broke.")
    seen.append(store.lists.position())
    queue.discard(identifier)
    seen.append(store.lists.position())
    assert len(set(seen)) == 5
    assert list(store.ids()) == []


def test_damage_is_an_error_and_never_a_film(queue, redis_server):
    identifier = queue.put(b"x", "a")
    claim, client = take(queue), redis_server.client()
    client.append(key_of("received", identifier), b"y")
    with pytest.raises(Damaged):
        queue.film(claim)
    client.delete(key_of("received", identifier))
    with pytest.raises(Missing):
        queue.film(claim)
    queue.fail(claim, "film-lost", "Lost.")
    client.append(key_of("failed", identifier), b"y")
    (error,) = queue.failed()
    assert (error.id, error.code) == (identifier, "record-damaged")
    queue.discard(identifier)
    assert not queue.failed()


def test_the_queue_leaves_room_for_results(queue, redis_server):
    with pytest.raises(StoreFull):
        for number in range(100):
            queue.put(b"%d" % number + bytes(1_000_000), "a")
    memory = redis_server.client().info("memory")
    assert memory["used_memory"] < 0.92 * memory["maxmemory"]
    assert queue.film(take(queue)).content.startswith(b"0"), "what was accepted is still there"


def test_the_name_of_a_film_is_the_one_that_is_sealed_with_it(queue, redis_server):
    client, (one, two) = redis_server.client(), (queue.put(content, f"{content}") for content in (b"x", b"y"))
    client.delete(QUEUE)
    client.xadd(QUEUE, {"film": one, "file": "b'y'"})
    client.xadd(QUEUE, {"film": two})
    for _ in range(2):
        claim = take(queue)
        with pytest.raises(Damaged):
            queue.film(claim)
        queue.fail(claim, "film-damaged", "Damaged.")
    client.append(key_of("failed", two), b"x")
    for identifier in (one, two):
        queue.retry(identifier)
    assert [queue.film(take(queue)).file for _ in range(2)] == ["b'x'", "b'y'"]


def test_a_result_that_comes_late_removes_the_error_of_its_film(queue, redis_server):
    identifier = queue.put(b"x", "a")
    late, other = take(queue), take(queue, lease_s=0)
    queue.fail(other, "scoring-died", "Died.")
    queue.finish(late)
    assert (queue.state().waiting, queue.state().failed) == (0, 0) and not queue.failed()
    assert not redis_server.client().exists(key_of("received", identifier), key_of("failed", identifier))


def test_what_was_accepted_survives_a_kill_of_redis(own_redis: RedisServer):
    from tests.webapp.api.records import opened

    queue = opened(own_redis).queue
    queue.put(b"x", "a")
    queue.put(b"y", "b")
    assert take(queue).file == "a" and take(queue, lease_s=0).deliveries == 2
    own_redis.kill()
    own_redis.start()
    again = opened(own_redis).queue
    assert again.state().waiting == 2
    claims = [take(again, lease_s=0) for _ in range(1)] + [take(again)]
    assert [(each.file, each.deliveries) for each in claims] == [("a", 3), ("b", 1)]
    assert own_redis.client().xlen(QUEUE) == 2


def test_a_queue_that_cannot_be_read_is_not_called_empty(store, redis_server):
    assert store.queue.unscored() == 0
    redis_server.client().set(QUEUE, "x")
    with pytest.raises(StoreUnavailable):
        store.queue.unscored()
    redis_server.client().delete(QUEUE)
    redis_server.client().set(FAILED, "x")
    with pytest.raises(StoreUnavailable):
        store.queue.unscored()
    redis_server.client().delete(FAILED)
