"""Kill processes at random while films are sent, and count what became of each film."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, cycle

import psutil
import urllib3

from tests.webapp.servers import TOKEN, Gunicorn, RedisServer

HEADERS = {"Authorization": f"Bearer {TOKEN}"}
GIVE_UP = 600.0  # seconds; only ends what hangs


def kill_workers(server: Gunicorn) -> None:
    """Kill the workers of a gunicorn, whose master starts others."""
    assert server.process
    for worker in psutil.Process(server.process.pid).children():
        worker.kill()


def restart(redis: RedisServer) -> None:
    """Kill Redis and start it with what it has on its disk."""
    redis.kill()
    redis.start()


def send_all(number: int, send: Callable[[int], bool], kills: Sequence[Callable[[], None]], times: int) -> None:
    """Send each film until it is accepted, as a modality does; something is killed `times`, at random moments."""
    moments = set(random.sample(range(1, number), times))
    deadline, lock, accepted = time.monotonic() + GIVE_UP, threading.Lock(), count(1)
    turns = cycle(kills)

    def until_accepted(each: int) -> None:
        while not send(each):
            assert time.monotonic() < deadline, f"film {each} was never accepted"
            time.sleep(0.1)  # as a sender does: nothing is waited for here
        with lock:  # one kill at a time; the others send meanwhile
            if next(accepted) in moments:
                next(turns)()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(until_accepted, range(number)))


def end_all(server: Gunicorn, number: int) -> None:
    """Once no film waits: each has one result, or one error if the scoring of just this film was killed three times.

    Those have one result, too, once they are tried again.
    """
    names, received = outcomes(server)
    assert len(names) + received["failed_total"] == number and set(names.values()) == {1}
    assert {each["code"] for each in received["failed"]} <= {"scoring-died"}
    for each in received["failed"]:
        urllib3.request("POST", f"{server.url}/v1/received/{each['id']}/retry", headers=HEADERS)
    names, received = outcomes(server)
    assert len(names) == number and set(names.values()) == {1} and not received["failed_total"]


def outcomes(server: Gunicorn) -> tuple[Counter[str], dict]:
    """How many results each name has, once no film waits; and what else became of films."""
    deadline = time.monotonic() + GIVE_UP
    while (received := _get(server, "/v1/received"))["waiting"]:
        assert time.monotonic() < deadline, received
        time.sleep(0.2)
    names: Counter[str] = Counter()
    cursor = ""
    while True:
        page = _get(server, f"/v1/predictions?limit=100{cursor}")
        assert not page["damaged"]
        names.update(each["file"] for each in page["predictions"])
        if page["next"] is None:
            return names, received
        cursor = f"&cursor={page['next']}"


def _get(server: Gunicorn, path: str) -> dict:
    answer = urllib3.request(
        "GET", server.url + path, headers=HEADERS, retries=urllib3.Retry(20, backoff_factor=0.2, status_forcelist=[503])
    )
    assert answer.status == 200, answer.data
    return answer.json()
