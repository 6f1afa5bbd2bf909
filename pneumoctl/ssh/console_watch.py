"""Watch the first boot of a host on its EC2 console alone: it is stopped before anybody could log in."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pneumoctl.errors import PneumoError
from pneumoctl.ssh import keys, serial_console
from pneumoctl.ssh.first_boot import BootFailed, Console
from pneumoctl.stack.inventory import Host

LATE_S = 60.0  # EC2 may show the output of a boot only minutes later, types on Xen only after the host was stopped
PAUSE_S = 5.0


@dataclass
class ConsoleWatch:
    """The console of a host during and after its first boot. `directory` holds the pinned host keys.

    The key is pinned as soon as it is seen: EC2 may discard the console output of a stopped host.
    """

    host: Host
    console: Console
    directory: Path
    mark: str | None = None  # the result of the boot script, once it was seen
    output: str = ""  # the last output that was not empty

    @property
    def pinned(self) -> bool:
        """Whether the host's key is pinned."""
        return self.host.instance_id in keys.pins(self.directory)

    def read(self, instance: str) -> str:
        """Read the console of an instance; of this host, also pin its key and note the result of its boot script."""
        output = self.console(instance)
        if instance == self.host.instance_id and output.strip():
            self.output = output
            self.mark = serial_console.boot_mark(output) or self.mark
            key = serial_console.host_key(output)
            if key is not None and not self.pinned:
                keys.pin(self.directory, self.host, key)
        return output

    def check(self, note: Callable[[str], None]) -> None:
        """Judge the boot of the stopped host. Raises BootFailed if the console shows that it failed.

        A console that is still empty is only noted: the host announces its key at each later boot, too. One that lacks
        the end of a boot script that began is no failure: a run reads the result of the script before it begins.
        """
        end = time.monotonic() + LATE_S
        while not (self.pinned and self.mark) and self._read_again() and time.monotonic() < end:
            time.sleep(PAUSE_S)
        began = self.pinned and (self.mark or serial_console.announced(self.output))
        if self.mark not in (None, "ok") or (self.output and not began):
            error = BootFailed(self.host, self._failure(), "the console", self.output)
            error.hint = f"terminate instance {self.host.instance_id}, then create it again: pneumoctl up"
            raise error
        if not self.pinned:
            note(f"EC2 shows no console output of {self.host.name} yet: its host key is read when it starts next")

    def _failure(self) -> str:
        if self.mark == "ok":
            return "its console shows no host key"
        return f"its boot script {self.mark or 'did not end'}"

    def _read_again(self) -> bool:
        """Read the console once more; False once it shows how the boot ended."""
        try:
            self.read(self.host.instance_id)
        except PneumoError:  # throttled, or not reachable for a moment
            return True
        return not (self.pinned and self.mark)
