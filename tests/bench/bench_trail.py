"""Time a view of a result with and without its entry in the trail, and a page of the list, beside views of others.

`python -m tests.bench.bench_trail [--results N] [--requests N]`. Loopback only; ends by itself. Two API workers, so
that each has to follow the entries of the other; one client a worker. Each view is of another result, so that each is
recorded. The list records nothing; it is timed alone and beside views.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from model import bundle as bundles
from tests.bench.bench_worklist import LIST, Client, fill, p99
from tests.webapp.servers import Gunicorn, RedisServer, api_environment
from webapp.api.storage.keys import TRAIL


def figures(took: list[float]) -> dict[str, float]:
    """Median and p99 in milliseconds."""
    return {"median_ms": round(statistics.median(took), 3), "p99_ms": round(p99(took), 3)}


def views(client: Client, identifiers: Iterator[str], requests: int) -> list[float]:
    """Milliseconds of each view."""
    return [client.good(f"{LIST}/{next(identifiers)}", {})[0] for _ in range(requests)]


def lists(client: Client, requests: int) -> list[float]:
    """Milliseconds of each page of the list."""
    return [client.good(LIST, {"review": "unread", "limit": "50"})[0] for _ in range(requests)]


def measure(clients: list[Client], identifiers: list[str], requests: int) -> dict[str, object]:
    """Views that are recorded, the same again within a minute, which are not, and lists while others view."""
    ids = iter(identifiers)
    first = identifiers[:requests]
    alone = views(clients[0], ids, requests)
    again = views(clients[0], iter(first), requests)
    lists_alone, done = lists(clients[0], requests), threading.Event()

    def go_on() -> None:
        while not done.is_set():
            views(clients[1], ids, 1)

    other = threading.Thread(target=go_on)
    other.start()
    beside = views(clients[0], ids, requests)
    lists_beside = lists(clients[0], requests)
    done.set()
    other.join()
    ratio = statistics.median(alone) / statistics.median(again)
    return {
        "view": figures(alone),
        "view_not_recorded": figures(again),
        "ratio_of_medians": round(ratio, 3),
        "view_beside_another_worker": figures(beside),
        "list": figures(lists_alone),
        "list_beside_views": figures(lists_beside),
    }


def main() -> None:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=int, default=20_000)
    parser.add_argument("--requests", type=int, default=500, help="of each kind")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ending:
        server = RedisServer(Path(folder) / "redis", memory_mb=2048)
        ending.callback(server.kill)
        server.start()
        identifiers = fill(server, arguments.results)
        environment = api_environment(server.port, bundles.pretrained())
        clients = []
        for _ in range(2):
            worker = Gunicorn("webapp.api", Path(folder), environment, threads=20)
            ending.callback(worker.stop)
            worker.start()
            clients.append(Client(worker.url))
        for client in clients:
            while client.ask(LIST, {"review": "unread"})[1] == 503:  # until it has read all results
                pass
        used = server.client().info("memory")["used_memory"]
        result = measure(clients, identifiers, arguments.requests)
        entries = server.client().hlen(TRAIL)
        per_entry = (server.client().info("memory")["used_memory"] - used) / max(1, entries)
    json.dump(result | {"entries": entries, "bytes_per_entry": round(per_entry)}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
