"""Fabric's connections to the hosts on aws, through the bastion, with pinned host keys and every wait bounded."""

import base64
import logging
import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pneumoctl.errors import PneumoError
from pneumoctl.ssh import keys
from pneumoctl.ssh.channel import pump
from pneumoctl.ssh.keepalive_socket import Line
from pneumoctl.stack.inventory import Host, Inventory

if TYPE_CHECKING:
    from fabric import Connection

SIGNALLED = 255  # what is reported of a command that a signal ended: paramiko does not say which


class Unreachable(PneumoError):
    """A host could not be reached, or was lost on the way; asking again later may help."""

    def __init__(self, host: Host, phase: str, why: str, hint: str = "pneumoctl status") -> None:
        super().__init__(f"{host.name} ({host.address}): {phase}: {why}", hint, host=host.name, phase=phase)


@dataclass(frozen=True)
class Reach:
    """An open connection to a host."""

    host: Host
    fabric: "Connection"
    line: Line

    @property
    def alive(self) -> bool:
        """Whether it was still open a moment ago."""
        return bool(self.fabric.is_connected)

    def channel(self, kind: str = "session", **to: Any) -> Any:
        """A new paramiko channel; neither Fabric nor paramiko bound the wait for one."""
        return self.fabric.transport.open_channel(kind, timeout=keys.CONNECT, **to)


class Connections:
    """One connection a host, made when first needed and shared by all threads; private hosts go through the bastion.

    `directory` holds the stack's key and the pinned host keys. Use as a context manager.
    """

    def __init__(self, inventory: Inventory, directory: Path) -> None:
        self._inventory = inventory
        self._directory = directory
        self._open: dict[str, Reach] = {}
        self._failed: dict[str, tuple[float, Unreachable]] = {}
        self._opening = {host.name: threading.Lock() for host in inventory.hosts}
        logging.getLogger("paramiko").addHandler(logging.NullHandler())  # else its tracebacks go to the terminal
        logging.getLogger("paramiko").propagate = False

    def __enter__(self) -> "Connections":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all connections; a command that still runs raises Unreachable in its thread."""
        for name in sorted(self._open, key=lambda name: name == self._inventory.bastion.name):
            if reach := self._open.pop(name, None):
                reach.fabric.close()

    def connected(self, host: Host) -> bool:
        """Whether there is an open connection to it; nobody waits for one."""
        reach = self._open.get(host.name)
        return reach is not None and reach.alive

    def to(self, host: Host) -> Reach:
        """An open connection. Raises Unreachable, and a plain PneumoError (hard stop) if the host key changed."""
        asked = time.monotonic()
        with self._opening[host.name]:
            known = self._open.get(host.name)
            if known is not None and known.alive:
                return known
            when, failure = self._failed.get(host.name, (-math.inf, None))
            if failure is not None and when > asked:  # while we waited: do not wait as long again, each in turn
                raise failure
            try:
                known = self._open[host.name] = self._connect(host)
            except Unreachable as error:
                self._failed[host.name] = (time.monotonic(), error)
                raise
            return known

    def execute(
        self, host: Host, command: str, stdin: Iterator[bytes], stdout: IO[bytes], limit: float, stall: float = math.inf
    ) -> tuple[int, bytes]:
        """Run a line of the host's shell; returns exit code and stderr. Raises Unreachable.

        Limits as of channel.pump. (Fabric's own `run` takes no bytes on stdin, feeds it a character in 10 ms, and
        hangs when the link is cut.)
        """
        reach, channel = self._session(host, command)
        try:
            with closing(Line(channel)):  # which hangs up quietly
                code, stderr = pump(channel, stdin, stdout, limit, stall)
        except EOFError as error:  # as we sent
            raise _cut(host) from error
        if code == -1:
            reach.fabric.transport.join(0.5)  # a dying transport closes its channels first
            if not reach.alive:
                raise _cut(host)
            return SIGNALLED, stderr + b"ended by a signal"
        return code, stderr

    def _session(self, host: Host, command: str) -> tuple[Reach, Any]:
        """A channel on which the command was started; a connection found to have ended is made anew, once."""
        stale = self._open.get(host.name)
        while True:
            reach = self.to(host)
            try:
                channel = reach.channel()
            except _ssh_errors() as error:
                if reach is not stale or (reach.alive and not isinstance(error, EOFError)):
                    raise Unreachable(host, "starting a command", _words(error)) from error
                reach.fabric.close()
                continue
            try:
                channel.exec_command(command)
            except _ssh_errors() as error:
                raise Unreachable(host, "starting a command", _words(error)) from error
            return reach, channel

    def _connect(self, host: Host) -> Reach:
        from fabric import Config, Connection
        from paramiko import RejectPolicy, SSHConfig

        pinned = keys.pins(self._directory).get(host.instance_id)
        if pinned is None:
            raise Unreachable(host, "host key", "none is pinned yet", "pneumoctl up")
        keys.check_mode(self._directory)
        key, (address, port) = _key(pinned), self._address(host)
        line = Line(self._dial(host))
        fabric = Connection(
            address,
            user=host.user,
            port=port,
            # Neither the operator's own OpenSSH nor Fabric configuration shall decide anything.
            config=Config(lazy=True, ssh_config=SSHConfig()),
            forward_agent=False,
            connect_timeout=keys.CONNECT,
            connect_kwargs={
                "sock": line,
                "key_filename": str(self._directory / keys.PRIVATE),
                "allow_agent": False,
                "look_for_keys": False,
                "banner_timeout": keys.CONNECT,
                "auth_timeout": keys.CONNECT,
            },
        )
        fabric.client.set_missing_host_key_policy(RejectPolicy())
        fabric.client.get_host_keys().add(address if port == 22 else f"[{address}]:{port}", key.get_name(), key)
        with _told(host, line):
            fabric.open()
        threading.Thread(target=_ask_for_life, args=(fabric.transport,), daemon=True).start()
        return Reach(host, fabric, line)

    def _dial(self, host: Host) -> Any:
        bastion = self._inventory.bastion
        if host == bastion:
            try:
                return socket.create_connection(self._address(host), timeout=keys.CONNECT)
            except OSError as error:
                raise _no_bastion(host, _words(error)) from error
        through = self.to(bastion)
        try:
            return through.channel("direct-tcpip", dest_addr=self._address(host), src_addr=("", 0))
        except _ssh_errors() as error:
            if not through.alive or through.line.silent() > 2 * keys.ALIVE:
                raise _no_bastion(bastion, "it fell silent") from error
            raise Unreachable(host, "connecting through the bastion", _words(error)) from error

    def _address(self, host: Host) -> tuple[str, int]:
        return host.public_address if host == self._inventory.bastion else host.address, keys.ssh_port(host)


def _cut(host: Host) -> Unreachable:
    return Unreachable(host, "running a command", "the link was cut; there it may have gone on")


def _no_bastion(host: Host, why: str) -> Unreachable:
    phase = f"connecting to the bastion at {host.public_address}"
    return Unreachable(host, phase, why, "your address may have changed: pneumoctl up")


def _key(pinned: str) -> Any:
    """A pinned host key as paramiko's."""
    from paramiko import PKey
    from paramiko.pkey import UnknownKeyType

    kind, coded = pinned.split()
    try:
        return PKey.from_type_string(kind, base64.b64decode(coded))
    except (*_ssh_errors(), UnknownKeyType, ValueError) as error:
        message = f"a line of the stack's {keys.KNOWN_HOSTS} is damaged: {pinned}"
        raise PneumoError(message, "restore it from a backup, or take that line out and: pneumoctl up") from error


@contextmanager
def _told(host: Host, line: Line) -> Iterator[None]:
    """Translate what may go wrong between a connected socket and a login."""
    from paramiko import AuthenticationException, BadHostKeyException

    try:
        yield
    except BadHostKeyException as error:
        line.close()
        raise keys.changed(host) from error
    except AuthenticationException as error:
        line.close()
        raise Unreachable(host, "login", f"the stack's key was not accepted for user {host.user}") from error
    except _ssh_errors() as error:
        line.close()
        raise Unreachable(host, "SSH handshake", _words(error)) from error


def _ssh_errors() -> tuple[type[Exception], ...]:
    from paramiko import SSHException

    return (SSHException, EOFError, OSError)


def _words(error: Exception) -> str:
    """Why, for a person; paramiko has several names for a time-out."""
    said = str(getattr(error, "text", "") or error)
    if isinstance(error, TimeoutError) or said in {"Timeout opening channel.", "No existing session"}:
        return f"no answer within {keys.CONNECT} s"
    return said or "the connection ended"


def _ask_for_life(transport: Any) -> None:
    """Ask again and again what every server answers, so that the line hears something while all is well."""
    try:
        while transport.is_active():
            transport.global_request("keepalive@openssh.com", wait=True)
            time.sleep(keys.ALIVE)
    except _ssh_errors():
        return
