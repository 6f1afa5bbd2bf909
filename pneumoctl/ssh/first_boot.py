"""Wait for the hosts of a new stack: pin each host's key as EC2 tells it, then read the boot mark over SSH."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from pneumoctl.errors import PneumoError
from pneumoctl.ssh import keys, serial_console
from pneumoctl.ssh.connections import Connections, Unreachable
from pneumoctl.ssh.transport import SshTransport
from pneumoctl.stack.inventory import Host

DEADLINE = 600.0  # seconds that a host may take to its boot mark
PAUSE = 1.0  # seconds between two questions
LOOK = 10.0  # seconds between two looks at EC2, both of which must say that the host is off: it tells old news at times
MARK = "/var/lib/pneumoctl/boot"
LOG = "/var/log/pneumoctl-boot.log"
SHOWN = 40  # last lines of a log

Console = Callable[[str], str]  # instance id -> what its serial console says, from EC2's authenticated API
Report = Callable[[Host, str], None]  # called from a thread a host, at every change of what it is waited for


class BootFailed(PneumoError):
    """A host did not come up; the message ends with the last lines that it wrote."""

    def __init__(self, host: Host, why: str, source: str, said: str) -> None:
        last = [line for line in serial_console.lines(said) if line][-SHOWN:]
        shown = "".join(f"\n  {line}" for line in last) or " nothing"
        hint = f"pneumoctl ssh {host.name}, or after mending the cause: pneumoctl up"
        super().__init__(f"{host.name}: {why}; {source} says:{shown}", hint, host=host.name)


def wait(
    hosts: Sequence[Host],
    connections: Connections,
    console: Console,
    directory: Path,
    report: Report,
    deadline: float = DEADLINE,
    off: Callable[[Host], bool] = lambda _: False,
) -> None:
    """Wait until every host's boot script says ok; in parallel, and for none any longer when one fails.

    `directory` holds the pins. `off`: whether EC2 says that a host is off, asked now and then. Raises BootFailed, or a
    plain PneumoError if a host shows another key than its console, or goes off.
    """
    ended: SimpleQueue[BaseException | None] = SimpleQueue()
    stop = threading.Event()
    end = time.monotonic() + deadline

    def watch(host: Host) -> None:
        try:
            _Wait(connections, console, directory, report, deadline, end, stop, off).through(host)
            ended.put(None)
        except BaseException as error:  # for the waiting thread to raise
            ended.put(error)

    for host in hosts:  # daemons: Ctrl-C waits for no connection that is being tried
        threading.Thread(target=watch, args=(host,), daemon=True).start()
    try:
        for _ in hosts:
            failure = ended.get()
            if failure is not None:
                raise failure
    finally:
        stop.set()


def pin_stopped(host: Host, console: Console, directory: Path) -> None:
    """Pin the key of a host that powered itself off after its first boot. BootFailed if its console says no good.

    Nothing is asked of a host that is pinned already: EC2 forgets the console of a stopped instance.
    """
    if host.instance_id in keys.pins(directory):
        return
    said = console(host.instance_id)
    mark, key = serial_console.boot_mark(said), serial_console.host_key(said)
    if mark != "ok" or key is None:
        error = BootFailed(host, f"its boot script {mark or 'did not end'}", "the console", said)
        error.hint = f"terminate instance {host.instance_id}, then: pneumoctl up, which makes it anew"
        raise error
    keys.pin(directory, host, key)


class _Stopped(Exception):
    """Another host failed, or the operator interrupts."""


@dataclass
class _Wait:
    """The wait for one host."""

    connections: Connections
    console: Console
    directory: Path
    report: Report
    patience: float
    deadline: float
    stop: threading.Event
    off: Callable[[Host], bool]
    looked: float = field(default_factory=time.monotonic)
    seen_off: bool = False

    def through(self, host: Host) -> None:
        """Wait for key, SSH and mark of one host."""
        if host.instance_id not in keys.pins(self.directory):
            self.report(host, "waiting for its host key")
            keys.pin(self.directory, host, self._key(host))
        mark = self._mark(host)
        if mark != "ok":
            raise BootFailed(host, f"its boot script {mark}", LOG, self._log(host))
        self.report(host, "up")

    def _key(self, host: Host) -> str:
        while True:
            trouble = None
            try:
                said = self.console(host.instance_id)
            except PneumoError as error:  # throttled, or the API is away for a moment
                said, trouble = "", error
            key = serial_console.host_key(said)
            if key is not None:
                return key
            if self._late(host):
                why = f"its console told no host key in {self.patience:.0f} s"
                raise trouble or BootFailed(host, why, "the console", said)

    def _mark(self, host: Host) -> str:
        waiting, lost = "", ""
        while True:
            try:
                said = SshTransport(host, self.connections).read(MARK)
                if said is not None and said.strip():
                    return said.decode(errors="replace").strip()
                now, lost = "waiting for its boot script", ""
            except (Unreachable, OSError) as error:
                now, lost = "waiting for SSH", str(error)
            if now != waiting:
                waiting = now
                self.report(host, now)
            if self._late(host):
                raise self._never(host, lost)

    def _never(self, host: Host, lost: str) -> BootFailed:
        if lost:
            why = f"SSH did not answer in {self.patience:.0f} s ({lost})"
            return BootFailed(host, why, "the console", self.console(host.instance_id))
        return BootFailed(host, f"its boot script did not end in {self.patience:.0f} s", LOG, self._log(host))

    def _late(self, host: Host) -> bool:
        """Pause, then say whether the time is up. PneumoError if the host went off meanwhile."""
        if self.stop.wait(PAUSE):
            raise _Stopped
        if time.monotonic() - self.looked > LOOK:
            was, self.seen_off, self.looked = self.seen_off, self.off(host), time.monotonic()
            if was and self.seen_off:
                raise PneumoError(f"{host.name} ({host.instance_id}) went off while it booted", host=host.name)
        return time.monotonic() > self.deadline

    def _log(self, host: Host) -> str:
        try:
            output = SshTransport(host, self.connections).run(("tail", "-n", str(SHOWN), LOG), {}, 20)
        except Unreachable as error:
            return error.message
        return output.stdout or output.stderr
