"""Waiting for hosts: keys from the console, boot marks over SSH, and the last lines of a host that failed."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.ssh import first_boot, keys
from pneumoctl.ssh.connections import Connections, LoginRefused
from pneumoctl.ssh.first_boot import BootFailed
from pneumoctl.stack.inventory import Host
from tests.pneumoctl.sshd import Farm, on_loopback


class NewHosts:
    """Hosts that were just created: nothing is pinned, and all share one file system for log and mark."""

    def __init__(self, farm: Farm, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.farm, self.mark, self.log = farm, folder / "boot", folder / "log"
        self.output: dict[str, str] = {f"i-{name}": self.console_of(name) for name in farm.servers}
        self.reports: list[tuple[str, str]] = []
        self.hosts = farm.inventory.hosts
        monkeypatch.setattr(first_boot, "MARK", str(self.mark))
        monkeypatch.setattr(first_boot, "LOG", str(self.log))
        monkeypatch.setattr(first_boot, "PAUSE", 0.8)
        keys.forget(farm.directory, set())

    def console_of(self, name: str) -> str:
        return f"Linux version 6\r\npneumoctl-host-key: {self.farm.servers[name].key}\r\n"

    def report(self, host: Host, phase: str) -> None:
        self.reports.append((host.name, phase))

    def wait(self, deadline: float = 20, off: Callable[[Host], bool] = lambda _: False) -> None:
        with Connections(self.farm.inventory, self.farm.directory) as connections:
            folder, output = self.farm.directory, self.output
            first_boot.wait(
                self.hosts, connections, lambda instance: output[instance], folder, self.report, deadline, off
            )


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with on_loopback(tmp_path_factory.mktemp("farm")) as started:
        yield started


@pytest.fixture
def new_hosts(farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NewHosts]:
    yield NewHosts(farm, tmp_path, monkeypatch)
    farm.pin()


def test_all_hosts_are_pinned_and_waited_for(new_hosts: NewHosts) -> None:
    later = new_hosts.output.copy()
    new_hosts.output |= {"i-app-0": "", "i-nginx": "garbage"}
    threading.Timer(0.5, lambda: new_hosts.output.update(later)).start()
    threading.Timer(2.5, lambda: new_hosts.mark.write_text("ok\n")).start()
    new_hosts.wait()
    assert keys.pins(new_hosts.farm.directory) == {
        f"i-{name}": server.key for name, server in new_hosts.farm.servers.items()
    }
    for host in new_hosts.hosts:
        phases = [phase for name, phase in new_hosts.reports if name == host.name]
        assert phases[0] == "waiting for its host key" and phases[-1] == "up"


def test_the_wait_ends_when_a_host_is_switched_off(new_hosts: NewHosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_boot, "LOOK", 0.2)
    monkeypatch.setattr(first_boot, "PAUSE", 0.25)
    new_hosts.output["i-app-0"] = ""
    new_hosts.mark.write_text("ok\n")
    answers = iter([True, False, *[True] * 99])  # a stale answer once, then the truth
    with pytest.raises(PneumoError, match=r"app-0 \(i-app-0\) was switched off while it booted"):
        new_hosts.wait(off=lambda host: host.name == "app-0" and next(answers))
    assert next(answers) and len(list(answers)) == 99 - 2 - 1


def test_a_second_wait_does_not_read_the_console(new_hosts: NewHosts) -> None:
    new_hosts.mark.write_text("ok\n")
    new_hosts.wait()
    new_hosts.output.clear()
    new_hosts.reports.clear()
    new_hosts.wait()
    assert sorted(new_hosts.reports) == sorted((name, "up") for name in new_hosts.farm.servers)


def test_the_line_that_failed_and_the_end_of_the_log_are_shown(new_hosts: NewHosts) -> None:
    new_hosts.hosts = new_hosts.hosts[:1]
    new_hosts.mark.write_text("failed line 12: apt-get update (exit 100)\n")
    new_hosts.log.write_text("".join(f"\x1b[31mstep {number}\r\n" for number in range(100)))
    with pytest.raises(BootFailed) as caught:
        new_hosts.wait()
    message = caught.value.message
    assert caught.value.details["host"] in message
    assert "its boot script failed line 12: apt-get update (exit 100)" in message
    assert "step 60\n" in message and message.endswith("step 99") and "step 59\n" not in message
    assert "\x1b" not in message and "pneumoctl ssh" in caught.value.hint


def test_a_host_that_fails_does_not_end_the_wait_for_the_others(new_hosts: NewHosts) -> None:
    good = new_hosts.console_of("web-0")
    new_hosts.output |= {"i-app-0": new_hosts.console_of("nginx"), "i-web-0": ""}
    failed = threading.Event()

    def report(host: Host, phase: str) -> None:
        new_hosts.reports.append((host.name, phase))
        if (host.name, phase) == ("app-0", first_boot.FAILED):
            failed.set()
            new_hosts.output["i-web-0"] = good

    new_hosts.report = report  # type: ignore[method-assign]
    new_hosts.mark.write_text("ok\n")
    with pytest.raises(PneumoError, match="host key of app-0"):
        new_hosts.wait(120)
    assert failed.is_set()
    ends = {name: phase for name, phase in new_hosts.reports if phase in (first_boot.UP, first_boot.FAILED)}
    assert ends == {"nginx": "up", "web-0": "up", "app-0": "failed", "monitoring": "up"}


def test_every_host_that_failed_is_named_with_the_reason(new_hosts: NewHosts) -> None:
    new_hosts.hosts = tuple(host for host in new_hosts.hosts if host.name in ("web-0", "app-0"))
    new_hosts.output |= {"i-web-0": "Kernel panic - not syncing\n", "i-app-0": ""}
    with pytest.raises(PneumoError) as caught:
        new_hosts.wait(1)
    first, *lines = caught.value.message.splitlines()
    assert first == "2 of 2 hosts did not boot: web-0, app-0" and caught.value.details["hosts"] == ["web-0", "app-0"]
    assert lines[0] == "app-0: its console showed no host key within 1 s"
    assert lines[1].startswith("web-0: its console showed no host key within 1 s") and "Kernel panic" in lines[2]


def test_a_bastion_that_fails_ends_the_wait_for_the_hosts_behind_it(new_hosts: NewHosts) -> None:
    new_hosts.output["i-nginx"] = new_hosts.console_of("app-0")  # another key than it shows
    began = time.monotonic()
    with pytest.raises(PneumoError, match="host key of nginx"):
        new_hosts.wait(600)
    assert time.monotonic() - began < 500


def test_a_bug_is_raised_as_itself(new_hosts: NewHosts) -> None:
    new_hosts.mark.write_text("ok\n")
    del new_hosts.output["i-app-0"]  # reading its console fails
    with pytest.raises(KeyError):
        new_hosts.wait(120)


def test_the_console_is_asked_ever_less_often(new_hosts: NewHosts, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(first_boot, "PAUSE", 1.0)
    good = new_hosts.output.pop("i-app-0")
    new_hosts.output["i-app-0"] = ""
    new_hosts.mark.write_text("ok\n")
    waited = first_boot._Wait._timed_out

    def timed_out(self: first_boot._Wait, host: Host, pause: float = 0.0) -> bool:
        if host.name == "app-0":
            pauses.append(pause)
            if len(pauses) == 8:
                new_hosts.output["i-app-0"] = good
        return waited(self, host, 0.0)

    monkeypatch.setattr(first_boot._Wait, "_timed_out", timed_out)
    new_hosts.wait(120)
    longest = [1, 2, 4, 8, 15, 15, 15, 15]
    assert all(0.7 * most <= pause <= most for pause, most in zip(pauses, longest, strict=False))


def test_a_host_without_an_announced_key_is_named_with_its_console(new_hosts: NewHosts) -> None:
    new_hosts.hosts = tuple(host for host in new_hosts.hosts if host.name == "web-0")
    new_hosts.output["i-web-0"] = "Linux version 6\nKernel panic - not syncing\n"
    with pytest.raises(BootFailed, match="web-0: its console showed no host key within 1 s") as caught:
        new_hosts.wait(1)
    assert "Kernel panic" in caught.value.message


@pytest.fixture
def authorized(new_hosts: NewHosts) -> Iterator[Path]:
    """The keys that web-0 accepts; they are put back."""
    file = new_hosts.farm.servers["web-0"].folder / "authorized_keys"
    right = file.read_bytes()
    new_hosts.mark.write_text("ok\n")
    yield file
    file.write_bytes(right)


def test_a_refused_login_ends_the_wait_with_a_way_back(
    new_hosts: NewHosts, authorized: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_boot, "REFUSED_S", 1.0)
    authorized.write_text("")
    with pytest.raises(LoginRefused, match=r"web-0 .*: login: the stack's key was not accepted") as caught:
        new_hosts.wait(600)
    assert "pneumoctl secrets ssh-key" in caught.value.hint


def test_a_host_that_refuses_the_login_while_it_boots_is_waited_for(new_hosts: NewHosts, authorized: Path) -> None:
    right = authorized.read_bytes()
    authorized.write_text("")

    def report(host: Host, phase: str) -> None:
        if (host.name, phase) == ("web-0", "waiting for SSH"):  # it was refused once
            authorized.write_bytes(right)

    new_hosts.report = report  # type: ignore[method-assign]
    new_hosts.wait(600)


def test_an_unreachable_host_is_named_with_its_console(new_hosts: NewHosts) -> None:
    bastion = new_hosts.farm.host("nginx")
    keys.pin(new_hosts.farm.directory, bastion, new_hosts.farm.servers["nginx"].key)
    new_hosts.hosts = tuple(host for host in new_hosts.hosts if host.name == "web-0")
    new_hosts.farm.servers["web-0"].stop()
    try:
        with pytest.raises(BootFailed, match="SSH did not answer within 2 s") as caught:
            new_hosts.wait(2)
        assert caught.value.message.startswith("web-0: ") and "pneumoctl-host-key" in caught.value.message
    finally:
        new_hosts.farm.servers["web-0"].start()


def test_a_boot_script_that_never_ends_is_shown_with_its_log(new_hosts: NewHosts) -> None:
    new_hosts.hosts = new_hosts.hosts[:1]
    new_hosts.log.write_text("sleeping\n")
    with pytest.raises(BootFailed, match="did not end within 8 s") as caught:
        new_hosts.wait(8)
    assert "sleeping" in caught.value.message


def test_a_host_key_that_differs_from_the_console_is_a_hard_stop(new_hosts: NewHosts) -> None:
    new_hosts.output["i-web-0"] = new_hosts.console_of("app-0")
    new_hosts.mark.write_text("ok\n")
    with pytest.raises(PneumoError, match="host key of web-0") as caught:
        new_hosts.wait(60)
    assert not isinstance(caught.value, BootFailed)


def test_an_interrupt_ends_the_wait_at_once(new_hosts: NewHosts) -> None:
    threading.Timer(1, lambda: os.kill(os.getpid(), 2)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        new_hosts.wait(60)
    assert time.monotonic() - began < 50
