"""`pneumoctl tunnel` as a user runs it: real servers, a real forward, with and without a service behind it."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest
import urllib3

from pneumoctl.ssh import openssh
from tests.pneumoctl.sshd import Farm, User, on_loopback
from tests.serving import serving
from tests.templates.programs import own_network


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """As root in a network of its own, where no other program uses the ports of the services."""
    isolated = own_network() if os.geteuid() == 0 else nullcontext()
    with isolated, on_loopback(tmp_path_factory.mktemp("farm")) as running_farm:
        yield running_farm


@pytest.fixture(scope="module")
def user(farm: Farm) -> User:
    return User(farm)


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from behind")

    def log_message(self, *_: object) -> None:
        pass


def get(url: str) -> bytes:
    with urllib3.PoolManager(timeout=60, retries=False) as web:
        return web.request("GET", url).data


def test_the_address_is_printed_once_the_service_answers_there_and_ctrl_c_ends_all(user: User) -> None:
    with serving(ThreadingHTTPServer((user.farm.servers["web-0"].address, 8080), Page)):
        child = user.start("tunnel", "ui")
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:") and get(url) == b"hello from behind"
        child.send_signal(2)
        assert child.wait(120) == 130
        assert "error" not in child.communicate()[1]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(url.rsplit(":", 1)[1]))) != 0


def test_a_taken_default_port_is_replaced_but_not_a_requested_one(user: User) -> None:
    # Both what prometheus is on "monitoring" and what is taken here.
    with serving(ThreadingHTTPServer(("127.0.0.1", 9090), Page)):
        child = user.start("tunnel", "prometheus", "--json")
        assert child.stdout is not None
        lines = [child.stdout.readline()]
        while lines[-1] != "}\n":
            lines.append(child.stdout.readline())
        document = json.loads("".join(lines))
        assert document["service"] == "prometheus" and document["host"] == "monitoring"
        assert not document["url"].endswith(":9090") and get(document["url"]) == b"hello from behind"
        child.send_signal(2)
        assert child.wait(120) == 130
        assert "port 9090 of this machine is taken" in child.communicate()[1]
        assert "port 9090 of this machine is taken" in user.run("tunnel", "prometheus", "--port", "9090", code=1).stderr


def test_redis_is_probed_with_its_own_protocol(user: User) -> None:
    with socket.create_server((user.farm.servers["app-0"].address, 6379)) as server:
        heard = []

        def answer() -> None:
            with server.accept()[0] as client:
                heard.append(client.recv(100))
                client.sendall(b"-NOAUTH\r\n")

        threading.Thread(target=answer, daemon=True).start()
        child = user.start("tunnel", "redis", "--port", "16399")
        assert child.stdout is not None and child.stdout.readline() == "redis://127.0.0.1:16399\n"
        child.terminate()
        assert child.wait(120) == 143 and heard == [b"PING\r\n"]
        child.communicate()


def test_a_service_that_does_not_run_is_named(user: User) -> None:
    stderr = user.run("tunnel", "api", code=1).stderr
    assert "api does not answer on app-0, port 5000: nothing listens there" in stderr and "pneumoctl status" in stderr


def test_a_service_that_is_silent_is_named(user: User) -> None:
    with socket.create_server((user.farm.servers["app-0"].address, 5000)):
        stderr = user.run("tunnel", "api", code=1).stderr
    assert "api does not answer on app-0, port 5000: no response within 5 s" in stderr


def test_a_tunnel_that_breaks_says_so(user: User) -> None:
    with serving(ThreadingHTTPServer((user.farm.servers["web-0"].address, 8080), Page)):
        child = user.start("tunnel", "ui")
        assert child.stdout is not None and child.stdout.readline().startswith("http://")
        for descendant in psutil.Process(child.pid).children():
            descendant.kill()
        assert child.wait(120) == 1
        assert "the connection of the tunnel to ui on web-0 was lost" in child.communicate()[1]


def test_a_kill_leaves_no_forward_behind(user: User) -> None:
    with serving(ThreadingHTTPServer((user.farm.servers["web-0"].address, 8080), Page)):
        child = user.start("tunnel", "ui")
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        ssh = psutil.Process(child.pid).children(recursive=True)
        assert ssh and get(url) == b"hello from behind"
        child.kill()
        child.communicate()
        _, left = psutil.wait_procs(ssh, 20)
        assert not left


def test_an_unknown_service_names_the_nearest(user: User) -> None:
    stderr = user.run("tunnel", "graphana", code=2).stderr
    assert "grafana, prometheus, api, redis, ui" in stderr and "pneumoctl tunnel grafana" in stderr


def test_dry_run_opens_nothing(user: User) -> None:
    line = user.run("tunnel", "grafana", "--dry-run", "--port", "13000").stdout
    assert "-L 127.0.0.1:13000:127.0.0.1:3000" in line and line.rstrip().endswith("-- monitoring cat")


def test_a_foreign_program_on_the_port_is_not_the_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openssh, "FORWARDED", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener, openssh.Client(["sleep", "30"]) as client:
        listener.settimeout(0.1)
        assert client.forwarded(listener.getsockname()[1]) is None
        with pytest.raises(TimeoutError):
            listener.accept()
