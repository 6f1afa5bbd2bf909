"""Wait for the first boot of new hosts: pin each host's key from its EC2 console, then read its boot mark over SSH."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from pneumoctl.errors import PneumoError
from pneumoctl.ssh import keys, remote_command, serial_console
from pneumoctl.ssh.connections import Connections, LoginRefused, Unreachable
from pneumoctl.stack.inventory import Host

DEADLINE = 600.0  # seconds that a host may take until its boot mark
PAUSE = 1.0  # seconds between two attempts
CONSOLE_PAUSE = 15.0  # the longest pause between two looks at a console; EC2 throttles a caller who asks more often
CONSOLES_PER_S = 20  # that EC2 allows; the hosts do not begin to ask more often
LOOK = 10.0  # seconds between two EC2 queries; both must say that the host is off, because EC2 answers can be stale
MARK = "/var/lib/pneumoctl/boot"
LOG = "/var/log/pneumoctl-boot.log"
SHOWN = 40  # last lines of a log
REFUSED_S = 20.0  # for which a host may refuse the login: while it boots, it lets nobody in
UP, FAILED = "up", "failed"  # the last phase of a host
COMMAND_S = 20.0  # time limit of one command on a host

Console = Callable[[str], str]  # instance id -> its serial console output, from EC2's authenticated API
Report = Callable[[Host, str], None]  # called in a thread per host whenever the host enters another phase


class BootFailed(PneumoError):
    """A host did not boot; the message ends with the last lines of the host's own output."""

    def __init__(self, host: Host, reason: str, source: str, output: str) -> None:
        last = [line for line in serial_console.lines(output) if line][-SHOWN:]
        shown = "".join(f"\n  {line}" for line in last) or " (no output)"
        hint = f"look at it: pneumoctl ssh {host.name}; after fixing the cause: pneumoctl up"
        super().__init__(f"{host.name}: {reason}; last lines of {source}:{shown}", hint, host=host.name)
        self.reason = f"{host.name}: {reason}"


def wait(
    hosts: Sequence[Host],
    connections: Connections,
    console: Console,
    directory: Path,
    report: Report,
    deadline: float = DEADLINE,
    off: Callable[[Host], bool] = lambda _: False,
) -> None:
    """Wait in parallel until every host's boot script reports "ok"; only a failed bastion ends the wait for others.

    `directory` holds the pinned host keys. `off` returns whether EC2 reports a host as stopped or terminated. Raises
    BootFailed, LoginRefused, or a plain PneumoError if a host shows another key than its console announced, or is off.
    If several hosts failed, the error names them all.
    """
    ended: SimpleQueue[tuple[Host, BaseException | None]] = SimpleQueue()
    stop = threading.Event()
    end, spread = time.monotonic() + deadline, len(hosts) / CONSOLES_PER_S

    def watch(host: Host) -> None:
        try:
            _Wait(connections, console, directory, report, deadline, end, stop, off, spread).until_booted(host)
            ended.put((host, None))
        except BaseException as error:  # raised again by the waiting thread
            ended.put((host, error))

    for host in hosts:  # daemon threads, so that Ctrl-C does not wait for a connection attempt
        threading.Thread(target=watch, args=(host,), daemon=True).start()
    try:
        failures = _failures(ended, len(hosts), report, stop)
    finally:
        stop.set()
    if failures:
        raise _together([failures[host.name] for host in hosts if host.name in failures], len(hosts))


def _failures(
    ended: SimpleQueue[tuple[Host, BaseException | None]], hosts: int, report: Report, stop: threading.Event
) -> dict[str, BaseException]:
    """Wait until each host has ended; return what failed, by host. If the bastion fails, no other can be reached."""
    failures: dict[str, BaseException] = {}
    for _ in range(hosts):
        host, failure = ended.get()
        if failure is not None and not isinstance(failure, _Stopped):
            failures[host.name] = failure
            report(host, FAILED)
            if host.role == "nginx":
                stop.set()
    return failures


def _together(failures: Sequence[BaseException], hosts: int) -> BaseException:
    """One error for all hosts that failed, with the last lines of the first one."""
    errors = [error for error in failures if isinstance(error, PneumoError)]
    if len(failures) == 1 or len(errors) < len(failures):  # a bug is shown as what it is
        return next((error for error in failures if not isinstance(error, PneumoError)), failures[0])
    names = [str(error.details.get("host", "")) for error in errors]
    reasons = [error.reason if isinstance(error, BootFailed) else error.message for error in errors[1:]]
    message = "\n".join((f"{len(errors)} of {hosts} hosts did not boot: {', '.join(names)}", *reasons))
    return PneumoError(f"{message}\n{errors[0].message}", errors[0].hint, errors[0].code, hosts=names)


class _Stopped(Exception):
    """The bastion failed, or the operator interrupted the command."""


# Prints nothing if there is no mark yet; any other failure to read it has an exit code.
_READ_MARK = ("sh", "-c", 'test ! -e "$1" || cat -- "$1"', "sh")


@dataclass
class _Wait:
    """The wait for one host."""

    connections: Connections
    console: Console
    directory: Path
    report: Report
    limit: float
    deadline: float
    stop: threading.Event
    off: Callable[[Host], bool]
    spread: float  # seconds over which the first looks at all consoles are spread
    off_checked: float = field(default_factory=time.monotonic)
    seen_off: bool = False
    refused: float = 0.0  # since when the host refuses the login; 0 if it does not

    def until_booted(self, host: Host) -> None:
        """Wait for the key, SSH and boot mark of one host."""
        if host.instance_id not in keys.pins(self.directory):
            self.report(host, "waiting for its host key")
            keys.pin(self.directory, host, self._key(host))
        mark = self._mark(host)
        if mark != "ok":
            raise BootFailed(host, f"its boot script {mark}", LOG, self._log(host))
        self.report(host, UP)

    def _key(self, host: Host) -> str:
        pause = PAUSE
        self.stop.wait(random.uniform(0.0, self.spread))  # noqa: S311, so that hosts take turns
        while True:
            failure = None
            try:
                output = self.console(host.instance_id)
            except PneumoError as error:  # throttled, or the API is not reachable for a moment
                output, failure = "", error
            key = serial_console.host_key(output)
            if key is not None:
                return key
            late = self._timed_out(host, pause * random.uniform(0.7, 1.0))  # noqa: S311
            pause = min(2 * pause, CONSOLE_PAUSE)
            if late:
                reason = f"its console showed no host key within {self.limit:.0f} s"
                raise failure or BootFailed(host, reason, "the console", output)

    def _mark(self, host: Host) -> str:
        phase = ""
        while True:
            mark, failure = self._read_mark(host)
            if mark:
                return mark
            current = "waiting for SSH" if failure else "waiting for its boot script"
            if current != phase:
                phase = current
                self.report(host, phase)
            if self._timed_out(host):
                raise self._never_booted(host, failure)

    def _read_mark(self, host: Host) -> tuple[str, str]:
        """The mark, empty if there is none yet, and why it could not be read, empty if it could."""
        try:
            output = remote_command.run(self.connections, host, (*_READ_MARK, MARK), COMMAND_S)
        except LoginRefused:
            self.refused = self.refused or time.monotonic()
            if time.monotonic() - self.refused > REFUSED_S:
                raise
            return "", "the login is refused"
        except Unreachable as error:
            self.refused = 0.0
            return "", str(error)
        self.refused = 0.0
        if output.code:
            return "", output.tail() or f"exit {output.code}"
        return output.stdout.strip(), ""

    def _never_booted(self, host: Host, failure: str) -> BootFailed:
        if failure:
            reason = f"SSH did not answer within {self.limit:.0f} s ({failure})"
            return BootFailed(host, reason, "the console", self.console(host.instance_id))
        return BootFailed(host, f"its boot script did not end within {self.limit:.0f} s", LOG, self._log(host))

    def _timed_out(self, host: Host, pause: float = PAUSE) -> bool:
        """Pause, then return whether the time is up. Raises PneumoError if the host was switched off."""
        if self.stop.wait(max(0.0, min(pause, self.deadline - time.monotonic()))):
            raise _Stopped
        if time.monotonic() - self.off_checked > LOOK:
            was_off, self.seen_off, self.off_checked = self.seen_off, self.off(host), time.monotonic()
            if was_off and self.seen_off:
                message = f"{host.name} ({host.instance_id}) was switched off while it booted"
                raise PneumoError(message, "pneumoctl status", host=host.name)
        return time.monotonic() > self.deadline

    def _log(self, host: Host) -> str:
        try:
            output = remote_command.run(self.connections, host, ("tail", "-n", str(SHOWN), LOG), COMMAND_S)
        except Unreachable as error:
            return error.message
        return output.stdout or output.stderr
