"""Send one worker of the API three times the uploads that it bears, then as many as it bears for some minutes.

`python -m tests.bench.bench_load [--seconds N] [--soak N]`. Loopback only; ends by itself, with 1 if anything is wrong.
Overload: every answer is a result, or 429 or 503 with Retry-After; each result is stored afterwards as it was sent.
Soak: uploads, lists, views, heat maps and erasures by turns; the memory and the descriptors of the worker stay flat.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import urllib3

from model import bundle as bundles
from tests.bench.bench_api import Pictures, Worker
from tests.webapp.servers import TOKEN, Gunicorn, RedisServer, api_environment, running_redis

CLIENTS = 64  # requests at the same time, more than the worker has threads and places
TIMES = 3  # the load that it bears
BUSY = (429, 503)
MEASURED = 30  # uploads by one client after another
GROWTH = 1.15  # of the memory, from the second quarter of the soak to the last
# A connection for each request, as on hosts: a server that keeps idle ones may close one while it is used again.
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Connection": "close"}


class Answer(NamedTuple):
    """The answer to an upload. document: its prediction, or the problem; retry_after: that header."""

    status: int
    document: dict[str, Any]
    retry_after: str | None


class Client:
    """Sends requests to the API, from several threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = urllib3.PoolManager(maxsize=CLIENTS, retries=False, timeout=120)

    def upload(self, name: str, content: bytes) -> Answer:
        """Send a picture."""
        answer = self.ask("/v1/predictions", "POST", fields={"file": (name, content)})
        document = answer.json()
        if answer.status == 201:
            (document,) = document["predictions"]
        return Answer(answer.status, document, answer.headers.get("Retry-After"))

    def ask(self, path: str, method: str = "GET", **more: Any) -> urllib3.BaseHTTPResponse:
        """Send any request."""
        return self._http.request(method, self._url + path, headers=HEADERS, **more)


def rate(client: Client, pictures: Pictures) -> float:
    """Uploads a second by as many clients as the worker scores at the same time."""
    contents = pictures.take(MEASURED)
    start = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda each: client.upload(f"rate-{each[0]}.png", each[1]), enumerate(contents)))
    assert {each.status for each in answers} == {201}
    return MEASURED / (time.perf_counter() - start)


def overload(client: Client, pictures: Pictures, seconds: float) -> dict[str, Any]:
    """Send TIMES as much as `rate`, each upload at its time whatever became of those before."""
    borne = rate(client, pictures)
    contents = pictures.take(int(TIMES * borne * seconds))
    start = time.perf_counter()

    def send(number: int) -> Answer:
        time.sleep(max(0.0, start + number / (TIMES * borne) - time.perf_counter()))
        return client.upload(f"load-{number}.png", contents[number])

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(send, range(len(contents))))
    took = time.perf_counter() - start
    results = [each.document for each in answers if each.status == 201]
    lost = [each["id"] for each in results if client.ask(f"/v1/predictions/{each['id']}").json() != each]
    refused = [each for each in answers if each.status in BUSY]
    return {
        "borne_per_second": round(borne, 1),
        "sent_per_second": round(len(contents) / took, 1),
        "answers": Counter(str(each.status) for each in answers),
        "others": sorted({each.status for each in answers} - {201, *BUSY}),
        "busy_without_retry_after": sum(not each.retry_after for each in refused),
        "lost": len(lost),
    }


def soak(client: Client, pictures: Pictures, worker: Worker, seconds: float) -> dict[str, Any]:
    """Use the API for so long, and read what its worker has each second."""
    ended, numbers, read = threading.Event(), count(), []

    def use() -> None:
        while not ended.is_set():
            number = next(numbers)
            (content,) = pictures.take(1)
            answer = client.upload(f"soak-{number}.png", content)
            assert answer.status == 201, answer
            path = f"/v1/predictions/{answer.document['id']}"
            for part in ("", "/image.png", "/thumbnail.png", "/heatmap.png", "/feedback"):
                assert client.ask(path + part).status == 200
            assert client.ask("/v1/predictions?limit=20").status == 200
            assert client.ask(path, "DELETE").status == 204

    with ThreadPoolExecutor(1) as pool:
        used = pool.submit(use)
        end = time.monotonic() + seconds
        while time.monotonic() < end and not used.done():
            read.append((worker.mib(), worker.process.num_fds(), worker.process.num_threads()))
            time.sleep(1.0)
        ended.set()
        used.result()
    quarter = max(1, len(read) // 4)
    before, after = (
        [statistics.median(column) for column in zip(*part, strict=True)]
        for part in (read[quarter : 2 * quarter], read[-quarter:])
    )
    names = ("mib", "descriptors", "threads")
    return {
        "uploads": next(numbers),
        "second_quarter": dict(zip(names, before, strict=True)),
        "last_quarter": dict(zip(names, after, strict=True)),
        "flat": after[0] <= before[0] * GROWTH and after[1] <= before[1] + 2 and after[2] <= before[2] + 1,
    }


@contextmanager
def served(bundle: Path) -> Iterator[tuple[Gunicorn, RedisServer]]:
    """One worker of the API, with as many threads as on hosts, and its Redis."""
    with tempfile.TemporaryDirectory() as folder, running_redis(Path(folder) / "redis", memory_mb=4096) as redis:
        server = Gunicorn("webapp.api", Path(folder), api_environment(redis.port, bundle), threads=20)
        server.start()
        try:
            yield server, redis
        finally:
            server.stop()


def main() -> int:
    """Print one JSON document; returns 1 if an answer, a result or the worker's memory is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=bundles.pretrained())
    parser.add_argument("--seconds", type=float, default=20.0, help="of overload")
    parser.add_argument("--soak", type=float, default=180.0, help="seconds of the soak")
    arguments = parser.parse_args()
    with served(arguments.bundle) as (server, redis):
        client, pictures = Client(server.url), Pictures()
        loaded = overload(client, pictures, arguments.seconds)
        kept = soak(client, pictures, Worker(server, redis), arguments.soak)
    json.dump({"overload": loaded, "soak": kept}, sys.stdout, indent=2)
    sys.stdout.write("\n")
    wrong = loaded["others"] or loaded["busy_without_retry_after"] or loaded["lost"] or not kept["flat"]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
