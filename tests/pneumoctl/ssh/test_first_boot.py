"""Waiting for hosts: keys from the console, marks over SSH, and the last words of one that failed."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.ssh import first_boot, keys
from pneumoctl.ssh.connections import Connections
from pneumoctl.ssh.first_boot import BootFailed
from pneumoctl.stack.inventory import Host
from tests.pneumoctl.sshd import Farm, on_loopback


class Scene:
    """A farm whose hosts were just made: nothing is pinned, all share one file system for log and mark."""

    def __init__(self, farm: Farm, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.farm, self.mark, self.log = farm, folder / "boot", folder / "log"
        self.said: dict[str, str] = {f"i-{name}": self.announced(name) for name in farm.servers}
        self.reports: list[tuple[str, str]] = []
        self.hosts = farm.inventory.hosts
        monkeypatch.setattr(first_boot, "MARK", str(self.mark))
        monkeypatch.setattr(first_boot, "LOG", str(self.log))
        monkeypatch.setattr(first_boot, "PAUSE", 0.1)
        keys.forget(farm.directory, set())

    def announced(self, name: str) -> str:
        return f"Linux version 6\r\npneumoctl-host-key: {self.farm.servers[name].key}\r\n"

    def report(self, host: Host, phase: str) -> None:
        self.reports.append((host.name, phase))

    def wait(self, deadline: float = 20, off: Callable[[Host], bool] = lambda _: False) -> None:
        with Connections(self.farm.inventory, self.farm.directory) as connections:
            folder, said = self.farm.directory, self.said
            first_boot.wait(self.hosts, connections, lambda one: said[one], folder, self.report, deadline, off)


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with on_loopback(tmp_path_factory.mktemp("farm")) as one:
        yield one


@pytest.fixture
def scene(farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    yield Scene(farm, tmp_path, monkeypatch)
    farm.pin()


def test_all_hosts_are_pinned_and_awaited(scene: Scene) -> None:
    later = scene.said.copy()
    scene.said |= {"i-app-0": "", "i-nginx": "garbage"}
    threading.Timer(0.5, lambda: scene.said.update(later)).start()
    threading.Timer(2.5, lambda: scene.mark.write_text("ok\n")).start()
    scene.wait()
    assert keys.pins(scene.farm.directory) == {f"i-{name}": one.key for name, one in scene.farm.servers.items()}
    for host in scene.hosts:
        told = [phase for name, phase in scene.reports if name == host.name]
        assert told[0] == "waiting for its host key" and told[-1] == "up"


def test_one_that_goes_off_is_awaited_no_longer(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_boot, "LOOK", 0.2)
    scene.said["i-app-0"] = ""
    scene.mark.write_text("ok\n")
    says = iter([True, False, *[True] * 99])  # old news once, then the truth
    with pytest.raises(PneumoError, match=r"app-0 \(i-app-0\) went off while it booted"):
        scene.wait(off=lambda host: host.name == "app-0" and next(says))
    assert next(says) and len(list(says)) == 99 - 2 - 1


def test_a_second_wait_asks_no_console(scene: Scene) -> None:
    scene.mark.write_text("ok\n")
    scene.wait()
    scene.said.clear()
    scene.reports.clear()
    scene.wait()
    assert sorted(scene.reports) == sorted((name, "up") for name in scene.farm.servers)


def test_the_line_that_failed_and_the_end_of_the_log_are_shown(scene: Scene) -> None:
    scene.mark.write_text("failed line 12: apt-get update (exit 100)\n")
    scene.log.write_text("".join(f"\x1b[31mstep {number}\r\n" for number in range(100)))
    with pytest.raises(BootFailed) as caught:
        scene.wait()
    message = caught.value.message
    assert caught.value.details["host"] in message
    assert "its boot script failed line 12: apt-get update (exit 100)" in message
    assert "step 60\n" in message and message.endswith("step 99") and "step 59\n" not in message
    assert "\x1b" not in message and "pneumoctl ssh" in caught.value.hint


def test_one_failure_ends_the_wait_for_all(scene: Scene) -> None:
    del scene.said["i-app-0"]  # the console cannot be had at all
    began = time.monotonic()
    with pytest.raises(KeyError):
        scene.wait(60)
    assert time.monotonic() - began < 5


def test_a_host_that_tells_no_key_is_named_with_its_console(scene: Scene) -> None:
    scene.mark.write_text("ok\n")
    scene.said["i-web-0"] = "Linux version 6\nKernel panic - not syncing\n"
    with pytest.raises(BootFailed, match="web-0: its console told no host key in 1 s") as caught:
        scene.wait(1)
    assert "Kernel panic" in caught.value.message


def test_a_host_that_ssh_never_reaches_is_named_with_its_console(scene: Scene) -> None:
    scene.mark.write_text("ok\n")
    scene.farm.servers["web-0"].stop()
    try:
        with pytest.raises(BootFailed, match="SSH did not answer in 2 s") as caught:
            scene.wait(2)
        assert caught.value.message.startswith("web-0: ") and "pneumoctl-host-key" in caught.value.message
    finally:
        scene.farm.servers["web-0"].start()


def test_a_boot_script_that_never_ends_is_shown_by_its_log(scene: Scene) -> None:
    scene.log.write_text("sleeping\n")
    with pytest.raises(BootFailed, match="did not end in 2 s") as caught:
        scene.wait(2)
    assert "sleeping" in caught.value.message


def test_a_host_with_another_key_than_its_console_told_is_a_hard_stop(scene: Scene) -> None:
    scene.said["i-web-0"] = scene.announced("app-0")
    scene.mark.write_text("ok\n")
    began = time.monotonic()
    with pytest.raises(PneumoError, match="host key of web-0") as caught:
        scene.wait(60)
    assert not isinstance(caught.value, BootFailed) and time.monotonic() - began < 10


def test_an_interrupt_is_not_held_up(scene: Scene) -> None:
    threading.Timer(1, lambda: os.kill(os.getpid(), 2)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        scene.wait(60)
    assert time.monotonic() - began < 4
