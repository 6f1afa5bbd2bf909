"""The apps under gunicorn: bursts, killed workers, bad settings."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
import urllib3

from model import phantom
from tests.webapp.servers import ROOT, TOKEN, Gunicorn, RedisServer, api_environment, running_redis, ui_environment

BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for the apps of this module."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def worker(redis: RedisServer, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    """The API with a limit of two concurrent uploads."""
    environment = api_environment(redis.port, tiny_bundle) | {"MAX_PENDING": "2", "MAX_SCORING": "1"}
    server = Gunicorn("webapp.api", tmp_path_factory.mktemp("api"), environment)
    server.start()
    yield server
    server.stop()


def post(url: str, content: bytes, name: str = "a.png") -> urllib3.BaseHTTPResponse:
    """Send a file to the API over a new connection."""
    fields = {"file": (name, content)}
    with urllib3.PoolManager(retries=False) as http:
        return http.request("POST", f"{url}/v1/predictions", headers=BEARER, fields=fields, timeout=30)


def get(url: str) -> urllib3.BaseHTTPResponse:
    """Send a request with the token."""
    with urllib3.PoolManager(retries=False) as http:
        return http.request("GET", url, headers=BEARER, timeout=30)


@pytest.mark.parametrize(("app", "name"), [("webapp.api", "MAC_KEY"), ("webapp.ui", "API_URL")])
def test_a_missing_setting_stops_the_server_and_is_named(app, name):
    environment = {key: value for key, value in os.environ.items() if key not in ("MAC_KEY", "API_URL")}
    argv = [sys.executable, "-m", "gunicorn", "--bind=127.0.0.1:0", "--no-control-socket", f"{app}:create_app()"]
    ran = subprocess.run(argv, env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=600)
    assert ran.returncode != 0
    assert "EnvironmentInvalid" in ran.stderr
    assert f"{name} is not set" in ran.stderr


def test_a_burst_is_busy_and_loses_nothing(worker: Gunicorn):
    pictures = [phantom.png(number, 700, opacity=True) for number in range(4)]
    jobs = [(pictures[number % 4], f"rush-{number}.png") for number in range(40)]
    before = get(f"{worker.url}/v1/predictions").json()["total"]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda job: post(worker.url, *job), jobs))
        slowest = get(f"{worker.url}/livez")
    statuses = Counter(answer.status for answer in answers)
    assert set(statuses) == {201, 503}
    assert statuses[201] >= 2
    assert slowest.status == 200
    for answer in answers:
        if answer.status == 503:
            assert answer.json()["code"] == "busy"
            assert int(answer.headers["Retry-After"]) > 0
    listed = get(f"{worker.url}/v1/predictions?limit=100").json()
    assert listed["total"] - before == statuses[201]
    assert post(worker.url, *jobs[0]).status == 201


@contextmanager
def filled(worker: Gunicorn) -> Iterator[None]:
    """Every slot of the API is held by a stalled upload."""
    head = (
        "POST /v1/predictions HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
        f"Authorization: Bearer {TOKEN}\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
    ).encode()
    with ExitStack() as slow:
        for _ in range(50):  # an attempt may fail while a probe below holds the slot
            slow.enter_context(socket.create_connection(("127.0.0.1", worker.port))).sendall(head)
            time.sleep(0.05)
            if post(worker.url, b"x").status == 503:
                break
        yield
    deadline = time.monotonic() + 600
    while post(worker.url, b"x").status != 201:
        assert time.monotonic() < deadline, "the slots were not released"
        time.sleep(0.05)


def test_slow_uploads_count_and_do_not_block_the_health_probe(worker: Gunicorn):
    with filled(worker):
        answer = post(worker.url, b"x" * 2_000_000)
        assert (answer.status, answer.json()["code"]) == (503, "busy")
        assert get(f"{worker.url}/readyz").status == 200


def test_a_killed_worker_is_replaced_and_no_result_lost(worker: Gunicorn, opaque_picture: bytes):
    (document,) = post(worker.url, opaque_picture, "kept.png").json()["predictions"]
    (child,) = psutil.Process(worker.process.pid).children()
    child.send_signal(signal.SIGKILL)
    child.wait(120)
    deadline = time.monotonic() + 300
    while True:
        try:
            answer = get(f"{worker.url}/v1/predictions/{document['id']}")
            break
        except urllib3.exceptions.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert answer.json() == document


def test_the_page_is_busy_when_the_api_is(worker: Gunicorn, tmp_path: Path):
    """The API rejects the request before it read the body; the page must still get the reason."""
    page = Gunicorn("webapp.ui", tmp_path, ui_environment(worker.url))
    page.start()
    try:
        with filled(worker), urllib3.PoolManager(retries=False) as http:
            fields = {"file": ("large.dcm", b"x" * 20_000_000)}
            answer = http.request("POST", f"{page.url}/predictions", fields=fields, timeout=30)
            assert answer.status == 503
            assert b"Too many pictures are being processed" in answer.data
            assert answer.headers["Retry-After"]
    finally:
        page.stop()


def test_no_file_name_reaches_a_log(worker: Gunicorn, opaque_picture: bytes):
    post(worker.url, opaque_picture, "Very-Secret-Patient.png")
    post(worker.url, b"broken", "Very-Secret-Patient.png")
    assert post(worker.url, opaque_picture, "").status == 400
    log = worker.log.read_text()
    assert "POST /v1/predictions" in log
    assert "Secret" not in log
    assert TOKEN not in log
