"""The system's SSH client for a stack's hosts: its command line, its process, and its errors as PneumoErrors."""

import contextlib
import difflib
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.ssh import keys
from pneumoctl.ssh.connections import LoginRefused
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.stack import Stack

FAILED = 255  # ssh's own exit code for its errors
LOOPBACK = "127.0.0.1"
FORWARDED = 35.0  # seconds until a forward must listen: longer than ssh's own limits
ANSWER = 5.0  # seconds for the forwarded service to answer
_TAIL = 16384  # last bytes of stderr that are saved
_CHANGED = re.compile(r"[Hh]ost key (?:for (\S+) has changed|is known for (\S+) and)|Host key verification failed")
# The beginnings of ssh's own error lines: a remote command may also exit with 255 and print error messages.
_OWN = re.compile(
    r"^(?:ssh: |Connection (?:to|closed|reset|timed)|Timeout, server|kex_exchange_identification|client_loop: "
    r"|channel \d+: open failed|stdio forwarding failed|bind |\S+@\S+: Permission denied)",
    re.MULTILINE,
)


def inventory(stack: Stack) -> Inventory:
    """The hosts of a stack on aws. Raises PneumoError if it has none."""
    stack.require_aws("it has no other hosts", "pneumoctl status")
    hosts = stack.hosts()
    if hosts is None:
        raise PneumoError(f"stack {stack.name} has no hosts yet", "pneumoctl up")
    return hosts


def choose(hosts: Inventory, name: str) -> Host:
    """The host of that name. Raises PneumoError (usage) with the closest name and the list of all if there is none."""
    names = [host.name for host in hosts.hosts]
    if name in names:
        return hosts.hosts[names.index(name)]
    closest = difflib.get_close_matches(name, names, 1)
    suggestion = f"; did you mean {closest[0]}?" if closest else "."
    hint = f"pneumoctl ssh {closest[0] if closest else names[0]}"
    raise PneumoError(f"there is no host {name!r}{suggestion} There are: {', '.join(names)}", hint, Exit.USAGE)


def command(stack: Stack, host: Host, options: Sequence[str] = (), arguments: Sequence[str] = ()) -> list[str]:
    """ssh's command line. A single word is a line for the host's shell; several arguments are passed to it unchanged.

    Raises PneumoError if the client or the key is missing, or if the key of the host or of the bastion is not pinned.
    """
    program = shutil.which("ssh")
    if program is None:
        raise PneumoError("the OpenSSH client `ssh` is not installed", "apt-get install openssh-client")
    keys.check_mode(stack.ssh)
    pinned = keys.pins(stack.ssh)
    for hop in (inventory(stack).bastion, host):
        if hop.instance_id not in pinned:
            raise PneumoError(f"the host key of {hop.name} is not pinned yet: `up` did not complete", "pneumoctl up")
    line = [shlex.join(arguments)] if len(arguments) > 1 else list(arguments)
    return [program, "-F", str(stack.ssh / keys.CONFIG), *options, "--", host.name, *line]


def forward(stack: Stack, host: Host, port: int, target: str) -> list[str]:
    """ssh's command line that forwards a port of this machine's loopback to `target` as seen from `host`.

    It ends when its input ends: with a pipe as input, the forward ends even if pneumoctl is killed.
    """
    options = ("-o", "ExitOnForwardFailure=yes", "-L", f"{LOOPBACK}:{port}:{target}")
    return command(stack, host, options, ("cat",))


class Client:
    """A running ssh whose stderr is shown and its end saved; use as a context manager."""

    def __init__(self, argv: Sequence[str], stdin: int | None = None, stdout: int | None = None) -> None:
        self.process = subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE)
        self._stderr = bytearray()
        self._reader = threading.Thread(target=self._pass_on, args=(self.process.stderr,), daemon=True)
        self._reader.start()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(1)
        if self.process.stdin:
            self.process.stdin.close()

    def forwarded(self, port: int) -> socket.socket | None:
        """A connection to the forward once ssh itself listens; None if ssh ends, or another program has the port."""
        deadline = time.monotonic() + FORWARDED
        while self.process.poll() is None and time.monotonic() < deadline:
            if self._listens(port):
                with contextlib.suppress(OSError):
                    return socket.create_connection((LOOPBACK, port), timeout=ANSWER)
            time.sleep(0.05)
        return None

    def _listens(self, port: int) -> bool:
        """Whether ssh itself listens on the port: nothing may be sent to another program there."""
        import psutil

        try:
            ssh = psutil.Process(self.process.pid)
            processes = (ssh, *ssh.children(recursive=True))
            sockets = [socket for process in processes for socket in process.net_connections("tcp")]
        except psutil.Error:
            return False
        return any(socket.laddr.port == port and socket.status == psutil.CONN_LISTEN for socket in sockets)

    def stderr(self) -> str:
        """The last part of ssh's stderr; complete after ssh has ended."""
        if self.process.poll() is not None:
            self._reader.join(1)  # no longer: a process that it started may hold the pipe open
        return self._stderr.decode(errors="replace")

    def _pass_on(self, source: IO[bytes]) -> None:
        with source, contextlib.suppress(OSError, ValueError):
            while data := source.read1(4096):  # type: ignore[attr-defined]
                self._stderr = (self._stderr + data)[-_TAIL:]
                sys.stderr.buffer.write(data)
                sys.stderr.buffer.flush()


def explain(hosts: Inventory, host: Host, stderr: str) -> PneumoError | None:
    """The error behind ssh's exit code 255; None if the remote command exited with that code itself."""
    if refused := _CHANGED.search(stderr):
        alias = refused[1] or refused[2]
        return keys.changed(next((candidate for candidate in hosts.hosts if candidate.instance_id == alias), host))
    if re.search(r"^\S+@\S+: Permission denied", stderr, re.MULTILINE):
        return LoginRefused(
            hosts.bastion if f"{hosts.bastion.user}@{hosts.bastion.public_address}: " in stderr else host
        )
    own = [line for line in stderr.splitlines() if _OWN.match(line)]
    if not own:
        return None
    if f"connect to host {hosts.bastion.public_address} " in stderr:
        message = f"the bastion {hosts.bastion.name} ({hosts.bastion.public_address}) does not answer: {own[0]}"
        return PneumoError(message, "your address may have changed: pneumoctl up", host=hosts.bastion.name)
    return PneumoError(f"{host.name} ({host.address}) cannot be reached: {own[0]}", "pneumoctl status", host=host.name)
