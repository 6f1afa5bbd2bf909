"""A foreign program on the port of a service of the stack gets neither a secret nor a picture, and `up` avoids it."""

import os
import signal
import socketserver
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import urllib3

from model import phantom
from pneumoctl.errors import Exit
from pneumoctl.targets.local import processes
from tests.pneumoctl.conftest import Operator
from tests.serving import serving
from tests.webapp.servers import redis_binary

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.settimeout(0.5)
        try:
            while heard := self.request.recv(65536):
                self.server.heard.append(heard)
                if b"\r\n\r\n" in heard:
                    break
            self.request.sendall(ANSWER)
        except OSError:
            return


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def stranger(port: int) -> Iterator[list[bytes]]:
    """Another program that listens on the port, accepts every request, and records what it was sent."""
    server = _Server(("127.0.0.1", port), _Handler)
    server.heard = []
    with serving(server):
        yield server.heard


THIEF = """#!/bin/sh
case "$1" in --version) exec {redis} --version;; esac
if test ! -e {taken}; then
    port=$(sed -n "s/^port //p" "$1")
    env -i {python} -c "{listen}" "$port" {taken} </dev/null >/dev/null 2>&1 &
    while test ! -s {taken}; do sleep 0.05; done
fi
exec {redis} "$@"
"""
LISTEN = (
    "import os, socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); "
    "open(sys.argv[2], 'w').write(str(os.getpid())); time.sleep(300)"
)


@contextmanager
def thief(operator: Operator, folder: Path) -> Iterator[None]:
    """Another program takes the port of Redis when Redis is started for the first time."""
    server, taken = folder / "redis-server", folder / "taken"
    server.write_text(THIEF.format(redis=redis_binary(), taken=taken, python=sys.executable, listen=LISTEN))
    server.chmod(0o755)
    operator.environment["PNEUMO_REDIS_SERVER"] = str(server)
    try:
        yield
    finally:
        if taken.exists():
            os.kill(int(taken.read_text()), signal.SIGKILL)


def ports(operator: Operator) -> dict[str, int]:
    return {service["name"]: service["port"] for service in operator.status_document()["services"]}


def killed(operator: Operator, word: str) -> None:
    """Kill processes with this command, and stop the supervisor so that they are not restarted."""
    ours = processes.ours(operator.directory)
    for process in ours:
        if "supervisor.supervisord" in " ".join(process.cmdline()):
            process.suspend()
    victims = [process for process in ours if word in " ".join(process.cmdline())]
    assert victims
    for process in victims:
        process.kill()
    psutil.wait_procs(victims, 10)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    for label in ("NORMAL", "PNEUMONIA"):
        (tmp_path / "ward" / label).mkdir(parents=True)
        (tmp_path / "ward" / label / "a.png").write_bytes(phantom.png(7, 192, label == "PNEUMONIA"))
    return tmp_path / "ward" / "NORMAL" / "a.png"


def test_a_program_on_the_port_of_a_dead_service_is_sent_nothing(
    operator: Operator, film: Path, tmp_path: Path
) -> None:
    """Redis dies, then the API, then all: what still runs sends nothing to the program that takes the port.

    While `up` starts Redis, its port is taken too: another one is chosen.
    """
    with thief(operator, tmp_path):
        result = operator.run("up", "-y")
    requested = operator.environment["PNEUMO_REDIS_PORT"]
    assert f"another program has taken port {requested} meanwhile" in result.stderr
    taken = ports(operator)
    assert taken["redis"] != int(requested) and operator.status_document()["serving"]
    killed(operator, "redis-server")
    the_api_sends_nothing(operator, taken, film)
    killed(operator, "webapp.api:create_app")
    the_page_sends_nothing(taken, film)
    while left := processes.ours(operator.directory):  # again: the supervisor may restart one meanwhile
        for process in left:
            process.kill()
        psutil.wait_procs(left, 10)
    pneumoctl_sends_nothing(operator, taken, film)


def the_api_sends_nothing(operator: Operator, taken: dict[str, int], film: Path) -> None:
    with stranger(taken["redis"]) as heard:
        result = operator.run("predict", "--remote", str(film), code=Exit.FAILED)
        assert "503" in result.stdout
        assert heard == []


def the_page_sends_nothing(taken: dict[str, int], film: Path) -> None:
    with stranger(taken["api"]) as heard:
        fields = {"file": ("a.png", film.read_bytes())}
        url = f"http://127.0.0.1:{taken['ui']}"
        json_wanted = {"Accept": "application/json"}
        answer = urllib3.request("POST", f"{url}/predictions", fields=fields, headers=json_wanted, retries=False)
        assert answer.status == 502, answer.data
        assert urllib3.request("GET", f"{url}/readyz", retries=False).status != 200
        assert heard == []


def pneumoctl_sends_nothing(operator: Operator, taken: dict[str, int], film: Path) -> None:
    with stranger(taken["api"]) as api, stranger(taken["ui"]), stranger(taken["redis"]) as redis:
        result = operator.run("predict", "--remote", str(film), code=Exit.FAILED)
        assert "does not run" in result.stdout
        result = operator.run("infer", str(film.parents[1]), code=Exit.FAILED)
        assert "pneumoctl up" in result.stderr
        shown = operator.json("status", code=Exit.FAILED)
        assert not shown["serving"] and not any(service["listening"] for service in shown["services"])
        assert "checks" not in shown["api"]
        assert api == [] and redis == []
