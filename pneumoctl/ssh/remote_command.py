"""Run one command as root on a host; the host itself ends the command when its time is up."""

import io
import shlex
import time
from collections.abc import Sequence

from pneumoctl.plan.transport import Output
from pneumoctl.ssh.channel import LATE
from pneumoctl.ssh.connections import SIGNALLED, Connections
from pneumoctl.stack.inventory import Host

GRACE_S = 10.0  # that a command has to end after its time is up, before its channel is closed
KILL_AFTER_S = 5.0  # between SIGTERM and SIGKILL


def as_root(argv: Sequence[str], timeout: float) -> str:
    """The shell line that runs a command as root with a time limit that holds even if the connection is lost."""
    return shlex.join(("sudo", "-n", "--", "timeout", "-k", f"{KILL_AFTER_S:g}", f"{timeout:g}", *argv))


def run(connections: Connections, host: Host, argv: Sequence[str], timeout: float) -> Output:
    """Run a command; exit code LATE if it did not end in time. Raises Unreachable."""
    stdout, began = io.BytesIO(), time.monotonic()
    code, raw_stderr = connections.execute(host, as_root(argv, timeout), None, stdout, timeout + GRACE_S)
    output, stderr = stdout.getvalue().decode(errors="replace"), raw_stderr.decode(errors="replace")
    if code in {LATE, 128 + 9, SIGNALLED} and time.monotonic() - began >= timeout:
        return Output(LATE, output, f"{stderr}\n{argv[0]}: did not end within {timeout:.0f} s".lstrip())
    return Output(code, output, stderr)
