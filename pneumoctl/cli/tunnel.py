"""`pneumoctl tunnel`: forward a loopback port of this machine to an internal service of the stack."""

import difflib
import shlex
import socket
import subprocess
from dataclasses import dataclass
from typing import Annotated

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.cli.options import DryRun
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.ssh import openssh
from pneumoctl.ssh.openssh import ANSWER
from pneumoctl.stack.inventory import Host
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.common import ports
from pneumoctl.terminal.console import console

_HTTP = b"GET / HTTP/1.0\r\n\r\n"


@dataclass(frozen=True)
class _Service:
    """The host of a service, the address on which it listens there, and a request that it answers."""

    host: str
    port: int
    private: bool = True  # listens on the host's private address; otherwise on its loopback
    scheme: str = "http"
    question: bytes = _HTTP


_SERVICES = {
    "grafana": _Service("monitoring", 3000, private=False),
    "prometheus": _Service("monitoring", 9090, private=False),
    "api": _Service("app-0", 5000),
    "redis": _Service("app-0", 6379, scheme="redis", question=b"PING\r\n"),
    "ui": _Service("web-0", 8080),
}


@on_stack()
def tunnel(
    invocation: Invocation,
    service: Annotated[str, typer.Argument(metavar="SERVICE", help=f"{', '.join(_SERVICES)}.")],
    port: Annotated[int | None, typer.Option("--port", metavar="PORT", min=1, max=65535, help="Local port.")] = None,
    dry_run: DryRun = False,
) -> int:
    """Forward a local port to a service of the stack (aws).

    Prints the local address once the service answers, and forwards until Ctrl-C. Without --port, the local port is the
    service's own port or the next free one.
    """
    if service not in _SERVICES:
        near = difflib.get_close_matches(service, _SERVICES, 1)
        hint = f"pneumoctl tunnel {near[0] if near else 'grafana'}"
        raise PneumoError(f"unknown service {service!r}; choose one of: {', '.join(_SERVICES)}", hint, Exit.USAGE)
    stack = invocation.stack
    return _forward(stack, service, port, dry_run)


def _forward(stack: Stack, name: str, requested: int | None, dry_run: bool) -> int:
    service, inventory = _SERVICES[name], openssh.inventory(stack)
    host = openssh.choose(inventory, service.host)
    port = _free(service.port, requested)
    target = f"{host.address if service.private else openssh.LOOPBACK}:{service.port}"
    argv = openssh.forward(stack, host, port, target)
    url = f"{service.scheme}://{openssh.LOOPBACK}:{port}"
    document = {"service": name, "host": host.name, "url": url, "command": argv}
    if dry_run:
        console.text(shlex.join(argv))
        console.result(document)
        return 0
    with openssh.Client(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as client:
        asking = client.forwarded(port)
        if asking is not None:
            _ask(asking, name, service, host)
            console.note(f"{name} of stack {stack.name}, until Ctrl-C:")
            try:
                console.text(url)
                console.result(document)
                console.flush()
                client.process.wait()
            except KeyboardInterrupt:
                return Exit.INTERRUPTED
        raise openssh.explain(inventory, host, client.stderr()) or _broken(name, host)


def _free(standard: int, requested: int | None) -> int:
    if requested is not None and not ports.free(requested):
        raise PneumoError(f"port {requested} of this machine is taken", "omit --port to use a free one")
    port = requested or ports.choose(standard)
    if requested is None and port != standard:
        console.note(f"port {standard} of this machine is taken: {port} instead")
    return port


def _ask(asking: socket.socket, name: str, service: _Service, host: Host) -> None:
    """Send the service a request through the tunnel. Raises PneumoError if it does not answer."""
    try:
        with asking:
            asking.sendall(service.question)
            why = "" if asking.recv(1) else "nothing listens there"
    except TimeoutError:
        why = f"no response within {ANSWER:.0f} s"
    except OSError:  # ssh resets a connection that it cannot forward
        why = "nothing listens there"
    if why:
        where = "" if service.private else " of its loopback"
        message = f"{name} does not answer on {host.name}, port {service.port}{where}: {why}"
        raise PneumoError(message, "pneumoctl status", host=host.name)


def _broken(name: str, host: Host) -> Exception:
    return PneumoError(
        f"the connection of the tunnel to {name} on {host.name} was lost", f"pneumoctl tunnel {name}", host=host.name
    )
