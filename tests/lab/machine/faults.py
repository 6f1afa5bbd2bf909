"""Faults of a host of the lab, which can be switched on and off."""

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.lab.machine.cgroups import Group
from tests.lab.machine.hosts import leader
from tests.lab.machine.network import Network
from tests.lab.machine.paths import EXTERNAL_ADDRESSES, LabPaths

FILLER = "full"  # is on the host's disk, but outside its files: the host cannot see or remove it
ON_S = 120.0  # time limit: a host that a failed test left frozen never answers
SAVED_KEYS = "/root/host-keys"  # the original keys of a host whose keys were changed
NEW_KEYS = f"""set -e
test -d {SAVED_KEYS} || {{ mkdir {SAVED_KEYS}; cp -p /etc/ssh/ssh_host_* {SAVED_KEYS}; }}
rm -f /etc/ssh/ssh_host_*; ssh-keygen -A -q; systemctl restart ssh"""
OLD_KEYS = f"""set -e
test -d {SAVED_KEYS} || exit 0
rm -f /etc/ssh/ssh_host_*; mv {SAVED_KEYS}/* /etc/ssh/; rmdir {SAVED_KEYS}; systemctl restart ssh"""


class Faults:
    """Switches faults. `find`: name, address or id -> row of hosts.json. `ask`: sends a request to the API's /lab/."""

    def __init__(self, paths: LabPaths, find: Callable[[str], dict[str, Any]], ask: Callable[..., Any]) -> None:
        self._paths, self._find, self._ask = paths, find, ask
        self._network = Network(paths)
        self._undo: dict[tuple[str, str], Callable[[], object]] = {}  # active faults, with the function that ends each
        self._ahead = 0.0

    def end_all(self) -> None:
        """Switch off all faults that this process switched on, the last one first."""
        while self._undo:
            _, undo = self._undo.popitem()
            with suppress(KeyError, ProcessLookupError, FileNotFoundError):  # the host is gone, or down
                undo()

    def cut(self, host: str) -> None:
        """Cut a host's network in both directions until `restore`. `operator`: the operator's machine."""
        namespace = self._namespace(host)
        self._undo["cut", namespace] = lambda: self._network.restore(namespace)
        self._network.cut(namespace)

    def restore(self, host: str) -> None:
        namespace = self._namespace(host)
        self._network.restore(namespace)
        self._undo.pop(("cut", namespace), None)

    def freeze(self, host: str) -> None:
        """Freeze all processes of a host until `thaw`. Its kernel still accepts connections."""
        group = self._group(host)
        self._undo["freeze", group.path] = lambda: group.freeze(False)
        group.freeze(True)

    def thaw(self, host: str) -> None:
        group = self._group(host)
        group.freeze(False)
        self._undo.pop(("freeze", group.path), None)

    def kill(self, host: str) -> None:
        """Kill a host like a kernel crash: EC2 still says `running`. Stop and start it by the API."""
        identity = self._find(host)["id"]
        self._network.cut(identity)
        self._group(host).kill()
        self._network.detach(identity)
        self._network.restore(identity)

    def fill(self, host: str, leave: int = 0) -> None:
        """Fill a host's disk, except for `leave` bytes, until `drain`. This machine's disk does not fill."""
        disk = self._disk(host)
        self._undo["fill", str(disk)] = lambda: (disk / FILLER).unlink(missing_ok=True)
        # The allocation itself needs some blocks: allocate large pieces first, then smaller ones.
        with (disk / FILLER).open("ab") as filler:
            for piece in (1 << 30, 1 << 24, 1 << 20, 1 << 14, 1 << 12):
                while _free(disk) >= leave + piece and _grow(filler.fileno(), piece):
                    pass

    def drain(self, host: str) -> None:
        disk = self._disk(host)
        (disk / FILLER).unlink(missing_ok=True)
        self._undo.pop(("fill", str(disk)), None)

    def change_keys(self, host: str) -> None:
        """Give a host new SSH host keys; `restore_keys` brings the original ones back."""
        identity = self._namespace(host)
        self._undo["keys", identity] = lambda: self.restore_keys(identity)
        self.run_on_host(host, ["sh", "-c", NEW_KEYS])

    def restore_keys(self, host: str) -> None:
        self.run_on_host(host, ["sh", "-c", OLD_KEYS])
        self._undo.pop(("keys", self._namespace(host)), None)

    def replace(self, host: str) -> None:
        """Replace a host by another machine with the same address and a new disk. The API does not show it."""
        self._request(host, "replace")

    def reboot(self, host: str) -> None:
        self._request(host, "reboot")

    def api(self, kind: str, **fields: object) -> int:
        """Switch on a fault of the AWS API (see tests/lab/api/faults.py); returns its id."""
        self._undo["api", ""] = self.clear
        return int(self._ask("POST", "faults", {"kind": kind, **fields})["id"])

    def clear(self) -> None:
        """Switch off all faults of the API."""
        self._ask("DELETE", "faults")
        self._undo.pop(("api", ""), None)

    def advance_clock(self, seconds: float) -> None:
        """Put the scheduler's clock forward until `real_time`."""
        self._undo["clock", ""] = self.real_time
        self._ahead += seconds
        self._ask("POST", "clock", {"forward": seconds})

    def real_time(self) -> None:
        self._ask("POST", "clock", {"forward": -self._ahead})
        self._ahead = 0.0
        self._undo.pop(("clock", ""), None)

    def run_on_host(self, host: str, argv: list[str]) -> str:
        """Run a command on a host as root, without its network, as on a console. Returns its output."""
        inside = ["nsenter", f"--target={leader(self._find(host)['pid'])}", "--all", "--wdns=/", "--", *argv]
        path = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        result = subprocess.run(self._group(host).enter(inside), text=True, capture_output=True, env=path, timeout=ON_S)
        if result.returncode:
            raise RuntimeError(f"{' '.join(argv)} on {host} ended with {result.returncode}: {result.stderr.strip()}")
        return result.stdout

    def _namespace(self, host: str) -> str:
        return host if host in EXTERNAL_ADDRESSES else str(self._find(host)["id"])

    def _group(self, host: str) -> Group:
        return Group(f"{self._paths.prefix}/{self._find(host)['id']}")

    def _disk(self, host: str) -> Path:
        return self._paths.hosts / self._find(host)["id"] / "disk"

    def _request(self, host: str, requested: str) -> None:
        directory = self._paths.hosts / self._find(host)["id"]
        partial = directory / "request.partial"
        partial.write_text(requested)
        partial.replace(directory / "request")


def _free(disk: Path) -> int:
    state = os.statvfs(disk)
    return state.f_bavail * state.f_frsize


def _grow(descriptor: int, piece: int) -> bool:
    try:
        os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, piece)
    except OSError:
        return False
    return True
