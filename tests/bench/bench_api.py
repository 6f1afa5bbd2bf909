"""Compare the API on one worker with decoding plus the bare runtime in a loop, on the same picture.

`python -m tests.bench.bench_api [--bundle DIR] [--count N] [--rounds N]`. Loopback only; ends by itself.
(a) decode, shrink and run ONNX Runtime in a loop; (b) POST by one client; (c) POST by ten clients at once.
a, b and c take turns in every round, so that whatever else the machine does falls on all three; medians count.
Every picture sent differs in one pixel, so each is scored, encoded and written to Redis anew.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import count
from pathlib import Path

import numpy as np
import psutil
import urllib3
from PIL import Image

from model import bundle as bundles
from model import phantom
from model.images import decode
from model.serving.predict import Classifier
from tests.webapp.servers import TOKEN, Gunicorn, RedisServer, api_environment
from webapp.api import preview
from webapp.api.settings import StoreSettings
from webapp.api.storage.records import Record
from webapp.api.storage.store import Store

SIDE = 1024
CLIENTS = 10


class Pictures:
    """One drawing with a pixel changed each time, as PNG; made before the clock runs."""

    def __init__(self) -> None:
        self._pixels = np.asarray(phantom.draw(7, SIDE, opacity=True)).copy()
        self._number = count()

    def take(self, number: int) -> list[bytes]:
        """That many, all different."""
        made = []
        for _ in range(number):
            index = next(self._number)
            self._pixels[-1, index % SIDE] = index // SIDE % 256
            out = BytesIO()
            Image.fromarray(self._pixels).save(out, "PNG", compress_level=1)
            made.append(out.getvalue())
        return made


def bare(classifier: Classifier, contents: list[bytes]) -> float:
    """Pictures a second of decoding, shrinking and one run of the network, in a loop."""
    size = classifier.bundle
    start = time.perf_counter()
    for content in contents:
        grey = decode.decode(content).grey
        classifier.logits(decode.to_input(grey, size.height, size.width)[np.newaxis])
    return len(contents) / (time.perf_counter() - start)


def posted(url: str, contents: list[bytes], clients: int) -> float:
    """Pictures a second through the API; the forms are made before the clock runs, as a browser's are elsewhere."""
    http = urllib3.PoolManager(maxsize=clients, retries=False)
    forms = [urllib3.encode_multipart_formdata({"file": ("x.png", content)}) for content in contents]

    def one(form: tuple[bytes, str]) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": form[1]}
        answer = http.request("POST", f"{url}/v1/predictions", headers=headers, body=form[0])
        if answer.status != 201 or answer.json()["predictions"][0]["finding"] is None:
            raise SystemExit(f"the API answered {answer.status}: {answer.data[:300]!r}")

    with ThreadPoolExecutor(clients) as pool:
        start = time.perf_counter()
        list(pool.map(one, forms))
        return len(contents) / (time.perf_counter() - start)


def parts(classifier: Classifier, store: Store, contents: list[bytes]) -> dict[str, float]:
    """Median milliseconds of each part of a request, measured one by one in this process."""
    picture = decode.decode(contents[0])
    heatmap_source = preview.make_preview(picture.grey)
    small = decode.to_input(picture.grey, classifier.bundle.height, classifier.bundle.width)[np.newaxis]
    numbers = count()

    def store_one() -> None:
        document = classifier.predict(contents[0], f"{next(numbers)}.png")
        clock = time.perf_counter()
        store.put(Record(document, heatmap_source.as_dict()), heatmap_source.content)
        stored.append(time.perf_counter() - clock)

    stored: list[float] = []
    rows = {
        "decode": median(lambda: decode.decode(contents[0])),
        "shrink": median(lambda: decode.to_input(picture.grey, classifier.bundle.height, classifier.bundle.width)),
        "network": median(lambda: classifier.logits(small)),
        "examine (all of these, statistics, sha256)": median(lambda: classifier.examine(contents[0], "x.png")),
        "encode the kept picture": median(lambda: preview.make_preview(picture.grey)),
    }
    for _ in range(20):
        store_one()
    return rows | {"Redis, durable": 1000 * statistics.median(stored)}


def median(run: Callable[[], object], times: int = 20) -> float:
    """Median milliseconds."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return 1000 * statistics.median(taken)


class Worker:
    """What one gunicorn worker and its Redis have used: on a shared machine the steadier measure."""

    def __init__(self, gunicorn: Gunicorn, server: RedisServer) -> None:
        (self.process,) = psutil.Process(gunicorn.process.pid).children()
        self.redis = psutil.Process(server.process.pid)

    def cpu_ms(self) -> tuple[float, float]:
        """CPU milliseconds of worker and Redis so far."""
        return tuple(1000 * (each.cpu_times().user + each.cpu_times().system) for each in (self.process, self.redis))

    def mib(self) -> float:
        """Resident MiB of the worker."""
        return round(self.process.memory_info().rss / 2**20, 1)


def main() -> None:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=bundles.pretrained())
    parser.add_argument("--count", type=int, default=60, help="pictures a measurement")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    classifier, pictures = Classifier.open(arguments.bundle, threads=1), Pictures()
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder) / "redis", memory_mb=2048)
        environment = api_environment(server.port, arguments.bundle)
        worker = Gunicorn("webapp.api", Path(folder), environment, threads=20)
        try:
            server.start()
            worker.start()
            result = measure(classifier, pictures, worker, Worker(worker, server), arguments.count, arguments.rounds)
            settings = StoreSettings("127.0.0.1", server.port, "", "api", environment["REDIS_PASSWORD"], b"k" * 32)
            result["milliseconds"] = parts(classifier, Store.open(settings), pictures.take(1))
        finally:
            worker.stop()
            server.kill()
    json.dump(result, sys.stdout, indent=2)
    sys.stdout.write("\n")


def measure(
    classifier: Classifier, pictures: Pictures, gunicorn: Gunicorn, worker: Worker, number: int, rounds: int
) -> dict:
    """Rates by turns, the ratios of each round, CPU time of a picture, memory before and after."""
    fresh = worker.mib()
    posted(gunicorn.url, pictures.take(5), 1)
    rates, used = [], []
    for _ in range(rounds):
        contents = [pictures.take(number) for _ in range(3)]
        marks = [(time.process_time() * 1000, *worker.cpu_ms())]
        a = bare(classifier, contents[0])
        marks.append((time.process_time() * 1000, *worker.cpu_ms()))
        b = posted(gunicorn.url, contents[1], 1)
        marks.append((time.process_time() * 1000, *worker.cpu_ms()))
        c = posted(gunicorn.url, contents[2], CLIENTS)
        rates.append((a, b, c))
        used.append([(after - before) / number for before, after in zip(marks[0], marks[1], strict=True)][:1])
        used[-1] += [(after - before) / number for before, after in zip(marks[1], marks[2], strict=True)][1:]
    middle = [statistics.median(column) for column in zip(*rates, strict=True)]
    return {
        "pictures_per_second": {"bare": middle[0], "one_client": middle[1], "ten_clients": middle[2]},
        "one_client_of_bare": statistics.median(b / a for a, b, _ in rates),
        "ten_clients_of_bare": statistics.median(c / a for a, _, c in rates),
        "ten_clients_of_one": statistics.median(c / b for _, b, c in rates),
        "cpu_ms": dict(zip(("bare", "worker", "redis"), map(statistics.median, zip(*used, strict=True)), strict=True)),
        "worker_mib": {"fresh": fresh, "after": worker.mib()},
    }


if __name__ == "__main__":
    main()
