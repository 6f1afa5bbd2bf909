"""The agent as a process of this machine: run by a Python without our packages, on folders of a test."""

import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from pneumoctl.ssh import host_program
from pneumoctl.stack.inventory import Host

# Run before the agent's main(): what the agent keeps goes into the test's folder.
_ELSEWHERE = """
from pneumoctl.ssh import on_host
on_host.STATE, on_host.RUNTIME = {state!r}, {runtime!r}
main()"""


def argv(folder: Path, after: str = "") -> list[str]:
    """The command that runs the agent. `after`: a statement that follows its end."""
    _, *options, program, size = host_program.command()
    elsewhere = _ELSEWHERE.format(state=str(folder / "var"), runtime=str(folder / "run")) + f"\n{after}"
    assert program.count("\nmain()") == 1
    return [sys.executable, *options, program.replace("\nmain()", elsewhere), size]


class LocalChannel:
    """A process in place of a command on a paramiko channel."""

    def __init__(self, command: list[str]) -> None:
        self._ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE)
        self._closing = threading.Lock()
        self.settimeout, self.send, self.recv = self._ours.settimeout, self._ours.send, self._ours.recv
        self.status_event = self

    def recv_stderr_ready(self) -> bool:
        return self.exit_status_ready() and bool(self.process.stderr) and not self.process.stderr.closed

    def recv_stderr(self, size: int) -> bytes:
        assert self.process.stderr
        with self.process.stderr as stderr:
            return stderr.read(size)

    def exit_status_ready(self) -> bool:
        return self.process.poll() is not None

    def wait(self, seconds: float) -> None:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def recv_exit_status(self) -> int:
        return self.process.wait()

    def close(self) -> None:
        """As sshd does: the command sees the end of its input."""
        with self._closing:
            self._ours.close()

    def end(self) -> None:
        self.close()
        self.process.wait(600)
        if self.process.stderr:
            self.process.stderr.close()


class LocalConnections:
    """Connections whose hosts are processes of this machine; each start takes the next of these commands."""

    def __init__(self, *commands: list[str]) -> None:
        self._commands = list(commands)
        self.channels: list[LocalChannel] = []

    def start(self, host: Host, line: str) -> tuple[Any, LocalChannel]:
        self.channels.append(LocalChannel(self._commands[len(self.channels)]))
        return _Connection(host), self.channels[-1]

    def connected(self, host: Host) -> bool:
        return True

    def end(self) -> None:
        for channel in self.channels:
            channel.end()


class _Connection:
    def __init__(self, host: Host) -> None:
        self.host = host

    def has_ended(self) -> bool:
        return False
