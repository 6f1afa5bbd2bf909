"""The first boot of a host that nobody logs in to: its key is pinned while it boots, its console is judged later."""

from pathlib import Path

import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.ssh import console_watch, keys
from pneumoctl.ssh.console_watch import ConsoleWatch
from pneumoctl.ssh.first_boot import BootFailed
from pneumoctl.stack.inventory import Host

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
BOOTING = "Linux version 6\n"
ANNOUNCED = f"{BOOTING}pneumoctl-host-key: {KEY}\n"
BOOTED = f"{ANNOUNCED}pneumoctl-boot: ok\n"
CLOUD_INIT = f"-----BEGIN SSH HOST KEY KEYS-----\n{KEY} root@x\n-----END SSH HOST KEY KEYS-----\n"
HOST = Host("train", "train", "10.20.32.10", instance_id="i-1")


class Console:
    """A console that shows one output after another; the last one stays."""

    def __init__(self, *outputs: str) -> None:
        self.outputs = list(outputs)

    def __call__(self, instance: str) -> str:
        output = self.outputs.pop(0) if len(self.outputs) > 1 else self.outputs[0]
        if output == "throttled":
            raise PneumoError(output)
        return output


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_watch, "PAUSE_S", 0.01)
    monkeypatch.setattr(console_watch, "LATE_S", 0.5)


def watched(directory: Path, *outputs: str, reads: int = 0) -> tuple[ConsoleWatch, list[str]]:
    """The watch after some reads while the host boots, and then its check; the notes of that."""
    watch, notes = ConsoleWatch(HOST, Console(*outputs), directory), list[str]()
    for _ in range(reads):
        watch.read(HOST.instance_id)
    watch.check(notes.append)
    return watch, notes


def test_the_key_is_pinned_while_the_host_boots(tmp_path: Path) -> None:
    """EC2 may discard the console output once the host is stopped."""
    _, notes = watched(tmp_path, ANNOUNCED, BOOTED, "", reads=2)
    assert keys.pins(tmp_path) == {"i-1": KEY} and notes == []


def test_a_console_that_is_late_is_waited_for(tmp_path: Path) -> None:
    _, notes = watched(tmp_path, "", "", "throttled", BOOTED, reads=2)
    assert keys.pins(tmp_path) == {"i-1": KEY} and notes == []


def test_an_empty_console_is_no_failure(tmp_path: Path) -> None:
    _, notes = watched(tmp_path, "", reads=1)
    assert keys.pins(tmp_path) == {}
    assert notes == ["EC2 shows no console output of train yet: its host key is read when it starts next"]


def test_a_console_without_the_end_of_the_boot_is_no_failure_once_the_key_is_known(tmp_path: Path) -> None:
    _, notes = watched(tmp_path, ANNOUNCED, reads=1)
    assert keys.pins(tmp_path) == {"i-1": KEY} and notes == []


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (f"{ANNOUNCED}pneumoctl-boot: failed line 4: hostnamectl (exit 3)\n", "its boot script failed line 4"),
        (BOOTING, "its boot script did not end"),
        (f"{BOOTING}pneumoctl-boot: ok\n", "its console shows no host key"),
        (f"{BOOTING}{CLOUD_INIT}", "its boot script did not end"),  # user data never ran
    ],
)
def test_a_failed_boot_is_shown(tmp_path: Path, output: str, why: str) -> None:
    with pytest.raises(BootFailed, match=why) as caught:
        watched(tmp_path, output, reads=1)
    assert caught.value.hint == "terminate instance i-1, then create it again: pneumoctl up"


def test_another_key_than_the_pinned_one_is_not_taken(tmp_path: Path) -> None:
    keys.pin(tmp_path, HOST, "ssh-ed25519 AAAA")
    watch = ConsoleWatch(HOST, Console(BOOTED), tmp_path)
    watch.read("i-1")
    assert keys.pins(tmp_path) == {"i-1": "ssh-ed25519 AAAA"}


def test_other_instances_are_only_read(tmp_path: Path) -> None:
    watch = ConsoleWatch(HOST, Console(BOOTED), tmp_path)
    assert watch.read("i-spot") == BOOTED
    assert keys.pins(tmp_path) == {} and watch.mark is None
