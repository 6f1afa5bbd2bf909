"""Time every order, filter and search of the list at many results, each against a limit of 100 ms for its p99.

`python -m tests.bench.bench_worklist [--results N] [--requests N]`. Loopback only; ends by itself. One API worker, one
client. Before every tenth request another process reviews a result, so that the worker has to follow. Also measured:
the first reading of all results by a fresh worker, uploads meanwhile, and the memory of worker and Redis.
"""

import argparse
import base64
import hashlib
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import urllib3

from model import bundle as bundles
from tests.bench.bench_api import Pictures, Worker
from tests.predictions import AGE_UNKNOWN, FINDING, POINT
from tests.webapp.api.records import PICTURE, settings
from tests.webapp.servers import MAC_KEY, TOKEN, Gunicorn, RedisServer, api_environment
from webapp.api.storage import listing
from webapp.api.storage.keys import index_of, key_of
from webapp.api.storage.seal import Seal, serialize
from webapp.api.storage.store import Store

LIMIT_MS = 100.0  # of the p99 of each list
LIST = "/v1/predictions"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
START = datetime(2026, 1, 1, tzinfo=UTC)


def study(number: int) -> str:
    """A pseudonym of a study."""
    return base64.b32encode(hashlib.sha256(str(number).encode()).digest()).decode("ascii")[:12]


QUERIES = {
    "newest first": {},
    "most suspicious first": {"order": "probability"},
    "finding": {"finding": "pneumonia"},
    "finding, most suspicious first": {"finding": "no pneumonia", "order": "probability"},
    "refusal": {"refusal": "too_small"},
    "model": {"model": "v1"},
    "days": {"from": "2026-02-01", "to": "2026-02-20"},
    "unread": {"review": "unread"},
    "unread, most suspicious first": {"review": "unread", "order": "probability"},
    "reviewed": {"review": "reviewed"},
    "disagreement": {"review": "disagreement"},
    "study": {"study": study(777)},
    "search, two words in each name": {"q": "ward png"},
    "search, another word each time": {"q": "ward-{}"},
    "all at once": {
        "q": "ward", "finding": "pneumonia", "model": "v1", "from": "2026-01-10", "to": "2026-06-01",
        "review": "unread", "order": "probability",
    },
}  # fmt: skip


def document(number: int, dice: random.Random) -> dict:
    """A prediction as the API stores it."""
    probability = round(dice.random(), 6) if dice.random() < 0.9 else None
    made = FINDING | {
        "id": f"{dice.getrandbits(128):032x}",
        "file": f"ward-{number}_thorax_ap.png",
        "created": (START + timedelta(seconds=150 * number)).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "probability": probability,
        "finding": None if probability is None else "pneumonia" if probability >= 0.5 else "no pneumonia",
        "refusal": {"code": dice.choice(("too_small", "not_a_chest")), "reason": "r"} if probability is None else None,
        "model": {"name": "dag-kermany", "version": dice.choice(("v1", "v2"))},
        "operating_point": POINT | {"test": POINT["validation"]},
        "cautions": [AGE_UNKNOWN, {"code": "unlike_training", "sentence": "The picture is unlike nearly all films."}],
    }
    return made if probability is not None else made | {"cautions": []}


def fill(server: RedisServer, results: int) -> list[str]:
    """Store results, a third of them reviewed, without their pictures; their ids."""
    dice, seal, client, identifiers = random.Random(1), Seal(bytes.fromhex(MAC_KEY)), server.client(), []
    for start in range(0, results, 1000):
        with client.pipeline() as pipe:
            for number in range(start, min(start + 1000, results)):
                made = document(number, dice)
                key = key_of("record", made["id"])
                image = {"sha256": "0" * 64, "width": 900, "height": 1024} if made["finding"] else None
                source = {"folder": f"ward {number % 40}/p{number // 3}", "study": study(number // 3)}
                source["sha256"] = hashlib.sha256(str(number).encode()).hexdigest()
                pipe.set(key, seal.close(key, serialize({"prediction": made, "image": image, "source": source})))
                for order, list_filter, member in listing.memberships(made):
                    pipe.zadd(index_of(order, list_filter), {member: 0})
                if dice.random() < 1 / 3:
                    label, key = dice.choice(("pneumonia", "no pneumonia", "unsure")), key_of("feedback", made["id"])
                    review = {"prediction": made["id"], "label": label, "comment": "", "created": made["created"]}
                    pipe.rpush(key, seal.close(key, serialize(review)))
                identifiers.append(made["id"])
            pipe.execute()
    return identifiers


class Client:
    """Asks the API, one request after another."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = urllib3.PoolManager(retries=False)

    def ask(self, path: str, query: dict[str, str]) -> tuple[float, int, dict]:
        """Milliseconds, status and document."""
        start = time.perf_counter()
        answer = self._http.request("GET", f"{self.url}{path}?{urlencode(query)}", headers=HEADERS)
        return 1000 * (time.perf_counter() - start), answer.status, answer.json()

    def good(self, path: str, query: dict[str, str]) -> tuple[float, dict]:
        """Milliseconds and document of a request that must succeed."""
        took, status, made = self.ask(path, query)
        if status != 200:
            raise SystemExit(f"the API answered {status}: {made}")
        return took, made


def upload(url: str, content: bytes) -> float:
    """Milliseconds of an upload."""
    form, kind = urllib3.encode_multipart_formdata({"file": ("x.png", content)})
    start = time.perf_counter()
    answer = urllib3.request("POST", f"{url}/v1/predictions", headers={**HEADERS, "Content-Type": kind}, body=form)
    if answer.status != 201:
        raise SystemExit(f"the API answered {answer.status}: {answer.data[:300]!r}")
    return 1000 * (time.perf_counter() - start)


def first_reading(client: Client, pictures: list[bytes]) -> dict[str, float]:
    """Seconds until filters work in a fresh worker, the first page meanwhile, and uploads before and meanwhile."""
    before = [upload(client.url, content) for content in pictures[: len(pictures) // 2]]
    meanwhile, done = [], threading.Event()

    def go_on() -> None:
        for content in pictures[len(pictures) // 2 :]:
            if not done.is_set():
                meanwhile.append(upload(client.url, content))

    start = time.perf_counter()
    first, _ = client.good(LIST, {})
    uploads = threading.Thread(target=go_on)
    uploads.start()
    while (answer := client.ask(LIST, {"review": "unread"}))[1] == 503 and answer[2]["code"] == "list-not-read":
        time.sleep(0.05)
    seconds = time.perf_counter() - start
    done.set()
    uploads.join()
    uploads_ms = {"before": statistics.median(before), "meanwhile": statistics.median(meanwhile)}
    return {"seconds": round(seconds, 2), "first_page_ms": round(first, 1), "upload_ms": uploads_ms}


def p99(took: list[float]) -> float:
    """The 99th percentile."""
    return sorted(took)[min(len(took) - 1, int(0.99 * len(took)))]


def measure(
    client: Client, used: Worker, store: Store, identifiers: list[str], requests: int
) -> dict[str, dict[str, float]]:
    """Median, p99 and the worker's mean CPU time of each list, of a page in its middle, of the place of a result."""
    dice, rows = random.Random(2), {}

    def timed(name: str, path: str, query: dict[str, str]) -> None:
        took, before = [], used.cpu_ms()[0]
        for number in range(requests):
            if number % 10 == 0:
                store.reviews.add(dice.choice(identifiers), {"label": "unsure", "created": "2026-12-01T00:00:00Z"})
            asked = query | ({"q": query["q"].format(number)} if "q" in query else {})
            took.append(client.good(path, asked)[0])
        cpu, worst = (used.cpu_ms()[0] - before) / requests, p99(took)
        figures = {
            "median_ms": statistics.median(took),
            "p99_ms": worst,
            "cpu_ms": cpu,
            "p99_of_limit": worst / LIMIT_MS,
        }
        rows[name] = {figure: round(value, 2) for figure, value in figures.items()}

    timed("nothing (/livez): the noise of this machine", "/livez", {})
    for name, query in QUERIES.items():
        timed(name, LIST, {**query, "limit": "50"})
    deep = {"order": "probability", "review": "unread", "limit": "100"}
    for _ in range(20):
        deep["cursor"] = client.good(LIST, deep)[1]["next"] or deep["cursor"]
    timed("page 21 of unread, most suspicious first", LIST, deep)
    timed("whether something has changed", "/v1/changes", {})
    timed("folder, study and the same bytes", f"{LIST}/{dice.choice(identifiers)}/source", {})
    timed("place of a result", f"{LIST}/{dice.choice(identifiers)}/place", {"order": "probability", "q": "ward"})
    return rows


def main() -> None:
    """Measure and print one JSON document; the exit code is 1 if a list is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=200, help="of each list")
    arguments = parser.parse_args()
    bundle, pictures = bundles.pretrained(), Pictures().take(80)
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder) / "redis", memory_mb=2048)
        worker = Gunicorn("webapp.api", Path(folder), api_environment(server.port, bundle), threads=20)
        try:
            server.start()
            identifiers = fill(server, arguments.results)
            worker.start()
            used, client = Worker(worker, server), Client(worker.url)
            fresh = (upload(client.url, PICTURE), used.mib())[1]
            result: dict[str, object] = {"results": arguments.results, "limit_ms": LIMIT_MS}
            result["first_reading"] = first_reading(client, pictures)
            store = Store.open(settings(server.port))
            lists = measure(client, used, store, identifiers, arguments.requests)
            redis_mb = server.client().info("memory")["used_memory"] / 2**20
            result |= {"lists": lists, "worker_mib": {"before": fresh, "after": used.mib()}, "redis_mib": int(redis_mb)}
        finally:
            worker.stop()
            server.kill()
    worst = max(row["p99_of_limit"] for row in lists.values())
    json.dump(result | {"worst_p99_of_limit": worst}, sys.stdout, indent=2)
    sys.stdout.write("\n")
    sys.exit(worst > 1)


if __name__ == "__main__":
    main()
