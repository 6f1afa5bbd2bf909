"""Control groups: all processes of a lab are in its group, so that all of them can be ended."""

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@cache
def _hierarchies() -> tuple[Path, ...]:
    """The version 2 hierarchy first, then systemd's version 1 hierarchy if both are mounted (nspawn needs both)."""
    rows = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    second = [Path(row[1]) for row in rows if row[2] == "cgroup2"]
    first = [Path(row[1]) for row in rows if row[2] == "cgroup" and "name=systemd" in row[3].split(",")]
    return (*second[:1], *first[:1])


def _unless_removed(ask: Callable[[], bool]) -> bool:
    """What `ask` finds in a group; False if the group does not exist, or no longer."""
    try:
        return ask()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return False
        raise


@dataclass(frozen=True)
class Group:
    """A control group by its path below the root of the hierarchies."""

    path: str

    def _directories(self) -> list[Path]:
        return [root / self.path for root in _hierarchies()]

    def create(self) -> None:
        for directory in self._directories():
            directory.mkdir(parents=True, exist_ok=True)

    def enter(self, argv: list[str]) -> list[str]:
        """A command that joins the group and then executes `argv` with the same process id."""
        join = "".join(f"echo $$ > {directory}/cgroup.procs && " for directory in self._directories())
        return ["sh", "-c", join + 'exec "$@"', "sh", *argv]

    def leave(self) -> None:
        """Move this process out of the group, because a process that ends the lab must not be in it."""
        for root, directory in zip(_hierarchies(), self._directories(), strict=True):
            inside = any(str(os.getpid()) in f.read_text().split() for f in directory.rglob("cgroup.procs"))
            if inside:
                (root / "cgroup.procs").write_text(str(os.getpid()))

    def freeze(self, frozen: bool) -> None:
        (self._directories()[0] / "cgroup.freeze").write_text("1" if frozen else "0")

    def populated(self) -> bool:
        events = self._directories()[0] / "cgroup.events"
        return _unless_removed(lambda: "populated 1" in events.read_text())

    def processes(self, below: str) -> list[int]:
        """The process ids in a group of this name below this group."""
        files = [path / "cgroup.procs" for path in self._directories()[0].rglob(below)]
        return [int(pid) for file in files for pid in file.read_text().split()]

    def kill(self, timeout: float = 120) -> None:
        """Kill all processes in the group at once, as a loss of power would; returns when none is left.

        The switch is set again for a process that joins afterwards, as one that was just started does. The group may be
        removed by somebody else as soon as it is empty.
        """
        switch = self._directories()[0] / "cgroup.kill"
        deadline = time.monotonic() + timeout
        while _unless_removed(lambda: bool(switch.write_text("1"))) and self.populated():
            if time.monotonic() > deadline:
                raise TimeoutError(f"processes of {self.path} survive being killed")
            time.sleep(0.02)

    def kill_and_remove(self, timeout: float = 120) -> None:
        """Kill all processes in the group and remove it, also while a process that was just started joins it."""
        deadline = time.monotonic() + timeout
        while True:
            self.kill()
            try:
                return self.remove()
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def remove(self) -> None:
        """Remove the group and those below it. They must not contain processes."""
        for directory in self._directories():
            below = [Path(path) for path, _, _ in os.walk(directory)]
            for path in sorted(below, key=lambda path: -len(path.parts)):
                with suppress(FileNotFoundError):
                    path.rmdir()


def with_prefix(prefix: str) -> list[Group]:
    """The top-level groups whose name has this prefix."""
    return sorted({Group(path.name) for root in _hierarchies() for path in root.glob(f"{prefix}*")}, key=str)
