"""Facts read from hosts and the front door, and the time limits for them."""

import http.server
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.hosts import units
from pneumoctl.plan.transport import Output
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.ssh.connections import Unreachable
from pneumoctl.stack.inventory import Host, from_outputs
from pneumoctl.targets.aws.configuration import certificate as tls
from pneumoctl.targets.aws.inspection import host_facts
from pneumoctl.targets.common.health import WebEndpoint
from tests import needs
from tests.pneumoctl.examples import HOSTS_OUTPUT
from tests.serving import secure, serving

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


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('{"status":"ready"} 200', ""),
        (" 000", "no answer"),
        ("", "no answer"),  # there is no curl yet
        ("<html> 502", "it answers 502"),
        ("[] 503", "it answers 503"),
        ('{"detail":"The API does not answer: timeout","status":"not ready"} 503', "The API does not answer: timeout"),
        ('{"checks":{"known_picture":{"ok":false,"fault":"OutOfBand"}}} 503', "the known picture does not score as it"),
        ('{"checks":[1]} 503', "it gives no reason"),
        ('{"checks":{"store":{"ok":true,"warning":"nearly full"}}} 200', ""),
    ],
)
def test_the_reason_why_a_service_is_not_ready_is_read(answer: str, reason: str) -> None:
    not_ready = host_facts.readiness(Running(f"ui {answer}\n"), WEB).not_ready
    assert list(not_ready) == (["ui"] if reason else [])
    assert not_ready.get("ui", "").startswith(reason)


@pytest.mark.skipif(not shutil.which("curl"), reason=needs.CURL)
def test_readiness_is_asked_of_the_service_itself() -> None:
    """The script that a host runs, here against a page of this machine."""
    handler = type("Ready", (http.server.BaseHTTPRequestHandler,), {"do_GET": _unready, "log_message": lambda *_: None})
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        app = Host("app-0", "app", services={"api": server.server_address[1], "node_exporter": 9100})
        said = host_facts.readiness(Running(), app)
        assert said == host_facts.Readiness({"api": "uploads cannot be stored (full)"}, "nearly full", "ahead")
    assert host_facts.readiness(Running(), app) == host_facts.Readiness({"api": "no answer"})


class Running(Agents):
    """Agents whose host is this machine, or has a given output. `path`: a folder of programs that come first there."""

    def __init__(self, output: str | Output = "", path: Path | None = None) -> None:
        self.output, self.path = Output(0, output, "") if isinstance(output, str) else output, path

    def run(self, host: Host, argv: Sequence[str], timeout: float = 20.0) -> Output:
        assert argv[0] == "sh"
        if self.output != Output(0, "", ""):
            return self.output
        path = f"{self.path}:{os.environ['PATH']}" if self.path else os.environ["PATH"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env={**os.environ, "PATH": path})
        return Output(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("question", [host_facts.see, host_facts.readiness])
def test_a_failed_read_is_no_fact(question: Callable[[Agents, Host], object]) -> None:
    """Without output every service would count as ready."""
    with pytest.raises(Unreachable, match="did not end within 20 s"):
        question(Running(Output(124, "", "sh: did not end within 20 s")), WEB)


SYSTEMCTL = """case $1 in
  list-units) echo 'fwupd.service loaded failed failed Firmware update' ;;
  show) printf 'Id=pneumoctl-web.service\\nActiveState=active\\nSubState=running\\n' ;;
esac
"""


def test_a_host_reports_its_state_or_that_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script that a host runs, here on this machine with a stand-in for its systemd."""
    root, programs = tmp_path / "srv", tmp_path / "bin"
    (root / "web").mkdir(parents=True)
    (root / "web/current").symlink_to("releases/r1")
    programs.mkdir()
    monkeypatch.setattr(host_facts, "ROOT", str(root))
    program(programs, "systemctl", SYSTEMCTL)

    seen = host_facts.see(Running(path=programs), WEB)
    assert (seen.releases, seen.units, seen.failed) == ({"web": "r1"}, {"pneumoctl-web": "active"}, ("fwupd.service",))
    assert 0 <= seen.disk <= 100 and 0 <= seen.memory <= 100

    for broken in ("df", "readlink", "awk", "systemctl"):
        program(programs, broken, "echo broken >&2; exit 1")
        with pytest.raises(Unreachable, match=r"reading its state: .*broken"):
            host_facts.see(Running(path=programs), WEB)
        (programs / broken).unlink()
        program(programs, "systemctl", SYSTEMCTL)


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


WEB = Host("web-0", "web", services={"ui": 8080})


def _unready(request: http.server.BaseHTTPRequestHandler) -> None:
    request.send_response(503 if request.path == "/readyz" else 404)
    request.end_headers()
    request.wfile.write(
        b'{"checks": {"store": {"ok": false, "fault": "full", "warning": "nearly full"},'
        b' "clock": {"ok": true, "warning": "ahead"}}}\n'
    )


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
    unexpected = "unexpected error in pneumoctl, please report it (KeyError: 'x')"
    assert messages == {"silent": "no answer within 0.3 s", "cut": "cut", "broken": unexpected}
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


def test_the_timer_of_the_backups_runs_on_the_host_of_the_store_unless_there_are_none() -> None:
    hosts = from_outputs(HOSTS_OUTPUT, "198.51.100.1").hosts
    timer = "pneumoctl-backup.timer"
    assert [host.name for host in hosts if timer in units.of(host, backups=True)] == ["app-0"]
    assert not [host for host in hosts if timer in units.of(host)]


@contextmanager
def page(folder: Path, code: int = 200, ago: timedelta = timedelta(), home: int = 303) -> Iterator[WebEndpoint]:
    """A web page over TLS that wants a login. `ago`: when its certificate was made; `home`: its start page's status."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code if self.path == "/login" else home)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep the log out of the test's output."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    certificate = secure(server, folder, ago)
    with serving(server):
        url = f"https://127.0.0.1:{server.server_address[1]}"
        yield WebEndpoint(url, tls.fingerprint(certificate))


def test_the_front_door_is_requested_as_by_its_users(tmp_path: Path) -> None:
    with page(tmp_path) as door:
        assert 364 < host_facts.check_front_door(door) <= 365
    with page(tmp_path, home=200) as door, pytest.raises(PneumoError, match="people who are not logged in"):
        host_facts.check_front_door(door)


def test_the_time_of_a_certificate_is_told_though_it_is_the_expected_one(tmp_path: Path) -> None:
    with page(tmp_path / "old", ago=timedelta(days=tls.DAYS + 2)) as door:
        assert -2.1 < host_facts.check_front_door(door) <= -2
    with page(tmp_path / "new", ago=timedelta(days=-2)) as door, pytest.raises(PneumoError, match="not valid yet"):
        host_facts.check_front_door(door)


def test_an_unhealthy_or_foreign_front_door_is_not_good(tmp_path: Path) -> None:
    with page(tmp_path, 503) as door:
        with pytest.raises(PneumoError, match="answers 503"):
            host_facts.check_front_door(door)
        with pytest.raises(PneumoError, match="shows another certificate"):
            host_facts.check_front_door(WebEndpoint(door.url, "0" * 64))
        with pytest.raises(PneumoError, match="was not accepted: self-signed certificate"):
            host_facts.check_front_door(WebEndpoint(door.url))
    with pytest.raises(PneumoError, match="refused"):
        host_facts.check_front_door(door)
