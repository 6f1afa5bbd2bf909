"""Facts read from hosts and the front door, and the time limits for them."""

import http.server
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.hosts import units
from pneumoctl.stack.inventory import from_outputs
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import certificate as tls
from pneumoctl.targets.aws import host_facts
from pneumoctl.targets.common.health import WebEndpoint
from tests.pneumoctl.examples import HOSTS_OUTPUT, SECRETS

SAID = """boot=ok\x20
api/current=releases/0123456789ab
api/previous=
web/current=
model/current=releases/small-abc
disk=41
memory=17
failed=fwupd.service

Id=pneumoctl-api.service
ActiveState=active
SubState=running

Id=redis-server.service
ActiveState=failed
SubState=failed
"""


def test_a_host_is_read() -> None:
    seen = host_facts.parse(SAID)

    assert seen.boot == "ok"
    assert seen.releases == {"api": "0123456789ab", "model": "small-abc"}
    assert (seen.disk, seen.memory) == (41, 17)
    assert seen.units == {"pneumoctl-api": "active", "redis-server": "failed"}
    assert seen.failed == ("fwupd.service",)


def test_a_host_without_output_is_not_good() -> None:
    seen = host_facts.parse("")

    assert (seen.boot, seen.disk, dict(seen.units), dict(seen.links)) == ("", -1, {}, {})


def test_a_silent_host_does_not_delay_the_others() -> None:
    never = threading.Event()

    def fail() -> str:
        raise PneumoError("cut")

    def break_down() -> str:
        raise KeyError("x")

    questions = {"quick": lambda: "yes", "silent": lambda: str(never.wait()), "cut": fail, "broken": break_down}
    answers = host_facts.within(0.3, questions)

    assert answers["quick"] == "yes"
    messages = {name: answer.message for name, answer in answers.items() if isinstance(answer, PneumoError)}
    assert messages == {"silent": "no answer within 0.3 s", "cut": "cut", "broken": "KeyError: 'x'"}
    never.set()


def test_a_caller_can_set_a_longer_timeout() -> None:
    def slowly() -> str:
        time.sleep(0.5)
        return "yes"

    assert host_facts.within(0.05, {"aws": slowly}, {"aws": 200.0}) == {"aws": "yes"}


def test_every_host_that_runs_has_units_and_every_unit_a_host() -> None:
    hosts = from_outputs(HOSTS_OUTPUT, "198.51.100.1")

    assert all(units.of(host) for host in hosts.hosts if host.role != "train")
    assert all(not units.of(host) for host in hosts.hosts if host.role == "train")
    assert all(units.running(hosts, unit) for unit in units.WITH_LOGS.values())
    assert [host.role for host in units.running(hosts, "redis-server")] == ["app"]


def test_reading_facts_creates_no_certificate(tmp_path: Path) -> None:
    hosts = from_outputs(HOSTS_OUTPUT, "198.51.100.1")
    stack, settings = Stack("t", tmp_path), Settings(target="aws")

    with pytest.raises(PneumoError, match="not configured yet"):
        host_facts.door(settings, stack, hosts)
    assert host_facts.available_releases(settings, stack, hosts) is None
    assert list(tmp_path.iterdir()) == []

    then = datetime.now(UTC) - timedelta(days=tls.DAYS - 3)  # it is due to be renewed
    stack.write("secrets.json", asdict(SECRETS))
    old, _ = tls.load_or_make(tmp_path / "tls", (hosts.bastion.public_address,), then, "t")
    assert host_facts.door(settings, stack, hosts).fingerprint == tls.fingerprint(old)
    assert host_facts.available_releases(settings, stack, hosts) is None
    assert (tmp_path / "tls" / tls.CERTIFICATE).read_bytes() == old


@contextmanager
def page(folder: Path, code: int = 200) -> Iterator[WebEndpoint]:
    """A web page over TLS that wants a login."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            authorized = self.headers.get("Authorization") == "Basic bWU6c2VjcmV0"  # me:secret
            self.send_response(code if authorized else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep the log out of the test's output."""

    certificate, _ = tls.load_or_make(folder, ("127.0.0.1",), datetime.now(UTC), "test")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / tls.CERTIFICATE, folder / tls.KEY)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"https://127.0.0.1:{server.server_address[1]}"
        yield WebEndpoint(url, tls.fingerprint(certificate), ("me", "secret"))
        server.shutdown()


def test_the_front_door_is_requested_as_by_its_users(tmp_path: Path) -> None:
    with page(tmp_path) as door:
        assert 364 < host_facts.check_front_door(door) <= 365
        with pytest.raises(PneumoError, match="answers 401"):
            host_facts.check_front_door(WebEndpoint(door.url, door.fingerprint))


def test_an_unhealthy_or_foreign_front_door_is_not_good(tmp_path: Path) -> None:
    with page(tmp_path, 503) as door:
        with pytest.raises(PneumoError, match="answers 503"):
            host_facts.check_front_door(door)
        with pytest.raises(PneumoError, match="shows another certificate"):
            host_facts.check_front_door(WebEndpoint(door.url, "0" * 64, door.login))
        with pytest.raises(PneumoError, match="does not answer: self-signed certificate"):
            host_facts.check_front_door(WebEndpoint(door.url, login=door.login))
    with pytest.raises(PneumoError, match="refused"):
        host_facts.check_front_door(door)
