"""Fabric connections to the hosts on aws: through the bastion, with pinned host keys and a limit on every wait."""

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
from pneumoctl.ssh.keepalive_socket import KeepaliveSocket
from pneumoctl.ssh.paramiko_errors import reason, ssh_errors
from pneumoctl.stack.inventory import Host, Inventory

if TYPE_CHECKING:
    from fabric import Connection

SIGNALLED = 255  # exit code for a command that was ended by a signal: paramiko does not say which


class Unreachable(PneumoError):
    """A host could not be reached, or the connection was lost; a retry may help."""

    def __init__(self, host: Host, phase: str, why: str, hint: str = "pneumoctl status") -> None:
        super().__init__(f"{host.name} ({host.address}): {phase}: {why}", hint, host=host.name, phase=phase)


class LoginRefused(Unreachable):
    """A host answers, and does not accept the stack's key; a retry does not help."""

    def __init__(self, host: Host) -> None:
        hint = "restore the key from a backup; or have the hosts accept it (they restart): pneumoctl secrets ssh-key"
        super().__init__(host, "login", f"the stack's key was not accepted for user {host.user}", hint)


@dataclass(frozen=True)
class HostConnection:
    """An open connection to a host."""

    host: Host
    fabric: "Connection"
    socket: KeepaliveSocket

    @property
    def alive(self) -> bool:
        """Whether it was open at the last check."""
        return bool(self.fabric.is_connected)

    def channel(self, kind: str = "session", **to: Any) -> Any:
        """A new paramiko channel, with the time limit that Fabric and paramiko lack."""
        return self.fabric.transport.open_channel(kind, timeout=keys.CONNECT, **to)

    def has_ended(self) -> bool:
        """Whether it is why a channel ended: a dying transport closes its channels first."""
        self.fabric.transport.join(0.5)
        return not self.alive


class Connections:
    """One connection per host, opened when first needed and shared by all threads; private hosts through the bastion.

    `directory` holds the stack's key and the pinned host keys. Use as a context manager.
    """

    def __init__(self, inventory: Inventory, directory: Path) -> None:
        self._inventory, self._directory = inventory, directory
        self._open: dict[str, HostConnection] = {}
        self._failed: dict[str, tuple[float, Unreachable]] = {}
        self._opening = {host.name: threading.Lock() for host in inventory.hosts}
        logging.getLogger("paramiko").addHandler(logging.NullHandler())  # otherwise its tracebacks go to the terminal
        logging.getLogger("paramiko").propagate = False

    def __enter__(self) -> "Connections":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; a command that still runs raises Unreachable in its thread."""
        for name in sorted(self._open, key=lambda name: name == self._inventory.bastion.name):
            if reach := self._open.pop(name, None):
                reach.fabric.close()

    def connected(self, host: Host) -> bool:
        """Whether there is an open connection to a host; never waits."""
        reach = self._open.get(host.name)
        return reach is not None and reach.alive

    def to(self, host: Host) -> HostConnection:
        """An open connection. Raises Unreachable, or a plain PneumoError if the host key changed."""
        asked = time.monotonic()
        with self._opening[host.name]:
            connection = self._open.get(host.name)
            if connection is not None and connection.alive:
                return connection
            when, failure = self._failed.get(host.name, (-math.inf, None))
            if failure is not None and when > asked:  # another thread's attempt failed while this one waited for it
                raise failure
            try:
                connection = self._open[host.name] = self._connect(host)
            except Unreachable as error:
                self._failed[host.name] = (time.monotonic(), error)
                raise
            return connection

    def execute(
        self,
        host: Host,
        command: str,
        stdin: Iterator[bytes] | None,
        stdout: IO[bytes],
        limit: float,
        stall: float = math.inf,
    ) -> tuple[int, bytes]:
        """Run a line in the host's shell; returns exit code and stderr. Raises Unreachable. Limits: see channel.pump.

        Without stdin the input of the command is empty; with it, the command must know how much to read.
        Fabric's own `run` takes no bytes on stdin, sends one character per 10 ms, and hangs when a connection is lost.
        """
        reach, channel = self.start(host, command if stdin else f"exec </dev/null; {command}")
        try:
            with closing(KeepaliveSocket(channel)):  # its close() raises no errors
                code, stderr = pump(channel, stdin or iter(()), stdout, limit, stall)
        except EOFError as error:  # while sending
            raise lost(host) from error
        if code == -1:
            if reach.has_ended():
                raise lost(host)
            return SIGNALLED, stderr + b"ended by a signal"
        return code, stderr

    def start(self, host: Host, command: str) -> tuple[HostConnection, Any]:
        """Start a line in the host's shell; returns its channel. A closed connection is reopened once."""
        stale = self._open.get(host.name)
        while True:
            reach = self.to(host)
            try:
                channel = reach.channel()
            except ssh_errors() as error:
                if reach is not stale or (reach.alive and not isinstance(error, EOFError)):
                    raise Unreachable(host, "starting a command", reason(error)) from error
                reach.fabric.close()
                continue
            try:
                channel.exec_command(command)
            except ssh_errors() as error:
                raise Unreachable(host, "starting a command", reason(error)) from error
            return reach, channel

    def _connect(self, host: Host) -> HostConnection:
        from fabric import Config, Connection
        from paramiko import RejectPolicy, SSHConfig

        if (pinned := keys.pins(self._directory).get(host.instance_id)) is None:
            raise Unreachable(host, "host key", "none is pinned yet", "pneumoctl up")
        keys.check_mode(self._directory)
        key, (address, port) = keys.as_paramiko(pinned), self._address(host)
        sock = KeepaliveSocket(self._dial(host))
        fabric = Connection(
            address,
            user=host.user,
            port=port,
            # The operator's own OpenSSH and Fabric configurations are ignored.
            config=Config(lazy=True, ssh_config=SSHConfig()),
            forward_agent=False,
            connect_timeout=keys.CONNECT,
            connect_kwargs={
                "sock": sock,
                "key_filename": str(self._directory / keys.PRIVATE),
                "allow_agent": False,
                "look_for_keys": False,
                "banner_timeout": keys.CONNECT,
                "auth_timeout": keys.CONNECT,
            },
        )
        fabric.client.set_missing_host_key_policy(RejectPolicy())
        fabric.client.get_host_keys().add(address if port == 22 else f"[{address}]:{port}", key.get_name(), key)
        with _translated(host, sock):
            fabric.open()
        threading.Thread(target=_send_keepalives, args=(fabric.transport,), daemon=True).start()
        return HostConnection(host, fabric, sock)

    def _dial(self, host: Host) -> Any:
        bastion = self._inventory.bastion
        if host == bastion:
            try:
                return socket.create_connection(self._address(host), timeout=keys.CONNECT)
            except OSError as error:
                raise _no_bastion(host, reason(error)) from error
        through = self.to(bastion)
        try:
            return through.channel("direct-tcpip", dest_addr=self._address(host), src_addr=("", 0))
        except ssh_errors() as error:
            if not through.alive or through.socket.silent() > 2 * keys.ALIVE:
                raise _no_bastion(bastion, "it no longer answers") from error
            raise Unreachable(host, "connecting through the bastion", reason(error)) from error

    def _address(self, host: Host) -> tuple[str, int]:
        return host.public_address if host == self._inventory.bastion else host.address, keys.ssh_port(host)


def lost(host: Host) -> Unreachable:
    """The connection ended while a command ran."""
    return Unreachable(host, "running a command", "the connection was lost; the command may still run there")


def _no_bastion(host: Host, why: str) -> Unreachable:
    hint = "your address may have changed: pneumoctl up"
    return Unreachable(host, f"connecting to the bastion at {host.public_address}", why, hint)


@contextmanager
def _translated(host: Host, sock: KeepaliveSocket) -> Iterator[None]:
    """Close the socket and translate the error if the SSH handshake or the login fails."""
    from paramiko import AuthenticationException, BadHostKeyException

    try:
        yield
    except BadHostKeyException as error:
        sock.close()
        raise keys.changed(host) from error
    except AuthenticationException as error:
        sock.close()
        raise LoginRefused(host) from error
    except ssh_errors() as error:
        sock.close()
        raise Unreachable(host, "SSH handshake", reason(error)) from error


def _send_keepalives(transport: Any) -> None:
    """Send requests that every server answers, so that a working connection is never silent."""
    try:
        while transport.is_active():
            transport.global_request("keepalive@openssh.com", wait=True)
            time.sleep(keys.ALIVE)
    except ssh_errors():
        return
