"""The workers' shared counts: whole with a damaged file among them, and no end to a worker on a full disk."""

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import urllib3

from model import phantom
from tests.webapp.servers import TOKEN, Gunicorn, RedisServer, api_environment, running_redis
from webapp.worker_files import SIZES

BEARER = {"Authorization": f"Bearer {TOKEN}"}
DAMAGE = {
    "counter_99999.db": b"",  # killed in its first instants
    "counter_99998.db": struct.pack("i", 8),  # cut
    "histogram_99997.db": struct.pack("iiii", 4000, 0, 100_000, 0),  # tells of more than there is
    "counter_99996.db": struct.pack("iii", 32, 0, 8) + b"no JSON!" + bytes(64),
    "strange_99995.db": os.urandom(1) * 5000,
    "not_named_so.db": b"\xff" * 100,
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB of its own."""
    if os.geteuid() != 0:
        pytest.skip("a file system is mounted: this needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


def served(redis: RedisServer, bundle: Path, metrics: Path, logs: Path) -> Gunicorn:
    metrics.mkdir(exist_ok=True)
    environment = api_environment(redis.port, bundle) | {"PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    return Gunicorn("webapp.api", logs, environment)


def counted(server: Gunicorn) -> str:
    answer = urllib3.request("GET", f"{server.url}/metrics", headers=BEARER, retries=False, timeout=30)
    assert answer.status == 200, answer.data
    return answer.data.decode()


def posted(server: Gunicorn, seed: int) -> int:
    fields = {"file": ("a.png", phantom.png(seed, 192))}
    url = f"{server.url}/v1/predictions"
    return urllib3.request("POST", url, headers=BEARER, fields=fields, retries=False, timeout=30).status


def fill(disk: Path) -> None:
    with suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass


def only_worker(server: Gunicorn) -> int:
    (worker,) = psutil.Process(server.process.pid).children()
    return worker.pid


def test_a_damaged_file_hides_nobody_elses_numbers(redis, tiny_bundle, tmp_path, logs):
    server = served(redis, tiny_bundle, tmp_path / "metrics", logs)
    server.start()
    try:
        assert posted(server, 1) == 201
        for name, content in DAMAGE.items():
            (tmp_path / "metrics" / name).write_bytes(content)
        (tmp_path / "metrics" / "folder_1.db").mkdir()
        assert 'pneumo_request_seconds_count{method="POST",route="/v1/predictions",status="201"} 1.0' in counted(server)
    finally:
        server.stop()


def test_a_disk_that_fills_up_ends_no_worker(redis, tiny_bundle, disk, logs):
    server = served(redis, tiny_bundle, disk / "metrics", logs)
    server.start()
    try:
        worker = only_worker(server)
        fill(disk)
        for seed in range(4):
            assert posted(server, seed) == 201
        # series that were not there before: every route, in every way, and more than fit into the file
        routes = ("/livez", "/readyz", "/v1/predictions", "/v1/predictions/" + "a" * 32, "/nowhere")
        asked = [(method, path) for path in routes for method in ("GET", "PUT", "DELETE", "OPTIONS", "MADEUP")]
        asked += [(f"MADEUP{number}", f"/nowhere/{number}") for number in range(400)]
        for method, path in asked:
            urllib3.request(method, server.url + path, headers=BEARER, retries=False, timeout=30)
        assert 'method="other",route="unknown",status="405"' in counted(server)
        assert only_worker(server) == worker and "SIGBUS" not in server.log.read_text()
    finally:
        server.stop()


def test_a_worker_that_starts_on_a_full_disk_serves(redis, tiny_bundle, disk, logs):
    (disk / "metrics").mkdir()
    fill(disk)
    server = served(redis, tiny_bundle, disk / "metrics", logs)
    server.start()
    try:
        assert posted(server, 1) == 201
        counted(server)
        assert list((disk / "metrics").iterdir()) == []
    finally:
        server.stop()


def test_a_dead_worker_leaves_no_more_than_it_used(tmp_path):
    program = "from webapp.api.metrics import Metrics\nMetrics().file_finished('refused', 'v')\n"
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    sizes = sorted(file.stat().st_size for file in tmp_path.glob("counter_*.db"))
    assert len(sizes) == 2 and sizes[1] == SIZES["counter"] and sizes[0] < 1000
