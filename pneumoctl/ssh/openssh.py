"""The system's SSH client on a stack's hosts: its command line, its process, and its errors in our words."""

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
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.stack import Stack

FAILED = 255  # what ssh exits with when ssh itself failed
LOOPBACK = "127.0.0.1"
FORWARDED = 35.0  # seconds until a forward listens: more than ssh itself takes to give up
ANSWER = 5.0  # seconds for the service behind to say anything
_KEPT = 16384  # last bytes of what it says
_CHANGED = re.compile(r"[Hh]ost key (?:for (\S+) has changed|is known for (\S+) and)|Host key verification failed")
# How a line of ssh's own begins; a remote command may well exit 255 and speak of time-outs.
_OWN = re.compile(
    r"^(?:ssh: |Connection (?:to|closed|reset|timed)|Timeout, server|kex_exchange_identification|client_loop: "
    r"|channel \d+: open failed|stdio forwarding failed|bind |\S+@\S+: Permission denied)",
    re.MULTILINE,
)


def inventory(stack: Stack) -> Inventory:
    """The hosts of a stack on aws. PneumoError if it has none."""
    known = stack.hosts()
    if known is not None:
        return known
    if stack.target == "local":
        message = f"stack {stack.name} is on this machine and has no other hosts"
        raise PneumoError(message, "pneumoctl status", Exit.USAGE)
    raise PneumoError(f"there is no stack {stack.name!r} on aws", f"pneumoctl up --target aws --stack {stack.name}")


def choose(known: Inventory, name: str) -> Host:
    """The host of that name. PneumoError (usage) with the nearest name and the list of all if there is none."""
    names = [host.name for host in known.hosts]
    if name in names:
        return known.hosts[names.index(name)]
    near = difflib.get_close_matches(name, names, 1)
    meant = f"; did you mean {near[0]}?" if near else "."
    hint = f"pneumoctl ssh {near[0] if near else names[0]}"
    raise PneumoError(f"there is no host {name!r}{meant} There are: {', '.join(names)}", hint, Exit.USAGE)


def command(stack: Stack, host: Host, options: Sequence[str] = (), words: Sequence[str] = ()) -> list[str]:
    """ssh's command line. One word is a line for the host's shell; several arrive there as they are.

    PneumoError if there is no client, no key, or a host on the way whose key is not pinned.
    """
    program = shutil.which("ssh")
    if program is None:
        raise PneumoError("the OpenSSH client `ssh` is not installed", "apt-get install openssh-client")
    keys.check_mode(stack.ssh)
    pinned = keys.pins(stack.ssh)
    for one in (inventory(stack).bastion, host):
        if one.instance_id not in pinned:
            raise PneumoError(f"the host key of {one.name} is not pinned yet: `up` did not get so far", "pneumoctl up")
    line = [shlex.join(words)] if len(words) > 1 else list(words)
    return [program, "-F", str(stack.ssh / keys.CONFIG), *options, "--", host.name, *line]


def forward(stack: Stack, host: Host, port: int, target: str) -> list[str]:
    """ssh's command line that makes what `host` sees as `target` a port of this machine's loopback.

    It ends with its input: where that is our pipe, a kill of pneumoctl leaves no forward behind.
    """
    options = ("-o", "ExitOnForwardFailure=yes", "-L", f"{LOOPBACK}:{port}:{target}")
    return command(stack, host, options, ("cat",))


class Client:
    """A running ssh whose errors pass through to our own stderr, and are remembered; ended with the block."""

    def __init__(self, argv: Sequence[str], stdin: int | None = None, stdout: int | None = None) -> None:
        self.process = subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE)
        self._said = bytearray()
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
        """A connection to the forward as soon as ssh itself listens; None if it gives up, or another has the port."""
        deadline = time.monotonic() + FORWARDED
        while self.process.poll() is None and time.monotonic() < deadline:
            if self._listens(port):
                with contextlib.suppress(OSError):
                    return socket.create_connection((LOOPBACK, port), timeout=ANSWER)
            time.sleep(0.05)
        return None

    def _listens(self, port: int) -> bool:
        """Whether the port is ssh's own: what we send there must reach no other program."""
        import psutil

        try:
            ssh = psutil.Process(self.process.pid)
            held = [one for process in (ssh, *ssh.children(recursive=True)) for one in process.net_connections("tcp")]
        except psutil.Error:
            return False
        return any(one.laddr.port == port and one.status == psutil.CONN_LISTEN for one in held)

    def said(self) -> str:
        """The end of what it wrote to stderr; all of it once it has ended."""
        if self.process.poll() is not None:
            self._reader.join(1)  # no longer: something that it started may hold the pipe
        return self._said.decode(errors="replace")

    def _pass_on(self, source: IO[bytes]) -> None:
        with source, contextlib.suppress(OSError, ValueError):
            while data := source.read1(4096):  # type: ignore[attr-defined]
                self._said = (self._said + data)[-_KEPT:]
                sys.stderr.buffer.write(data)
                sys.stderr.buffer.flush()


def explain(known: Inventory, host: Host, said: str) -> PneumoError | None:
    """The error behind ssh's exit code 255; None if what it said is not its own, so that the command exited so."""
    if refused := _CHANGED.search(said):
        alias = refused[1] or refused[2]
        return keys.changed(next((one for one in known.hosts if one.instance_id == alias), host))
    own = [line for line in said.splitlines() if _OWN.match(line)]
    if not own:
        return None
    if f"connect to host {known.bastion.public_address} " in said:
        message = f"the bastion {known.bastion.name} ({known.bastion.public_address}) does not answer: {own[0]}"
        return PneumoError(message, "your address may have changed: pneumoctl up", host=known.bastion.name)
    return PneumoError(f"{host.name} ({host.address}) cannot be reached: {own[0]}", "pneumoctl status", host=host.name)
