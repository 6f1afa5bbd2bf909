"""Choose the target of a stack."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pneumoctl.errors import PneumoError
from pneumoctl.ssh import hosts as ssh_hosts
from pneumoctl.ssh import openssh
from pneumoctl.stack import inventory
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import desired
from pneumoctl.targets.local import api, processes


def serving(stack: Stack) -> set[str]:
    """The models that the stack's hosts serve now. PneumoError where they cannot be asked."""
    if stack.cloud() is None:
        link = stack.layout.models / "current"
        return {link.readlink().name} if link.is_symlink() else set()
    known = stack.hosts()
    names = [host.name for host in known.hosts if host.role == "app"] if known else []
    if not names:
        return set()

    with ssh_hosts.opened(stack, names, change=False) as hosts:
        links = [links["model/current"] for links in desired.current_links(hosts).values() if "model/current" in links]
    return {Path(link).name for link in links}


@contextmanager
def reached(stack: Stack) -> Iterator[tuple[str, str]]:
    """Address and token of the stack's API; on aws through an SSH forward that ends with the block."""
    secrets = stack.secrets()
    if stack.target != "aws" or secrets is None:
        yield api.remote_api(stack.name)
        return
    known = openssh.inventory(stack)
    host, port = openssh.choose(known, "app-0"), processes.choose(inventory.PORTS["api"])
    argv = openssh.forward(stack, host, port, f"{host.address}:{inventory.PORTS['api']}")
    with openssh.Client(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as client:
        listening = client.forwarded(port)
        if listening is None:
            message = f"the API on {host.name} cannot be reached over SSH"
            raise openssh.explain(known, host, client.said()) or PneumoError(message, "pneumoctl status")
        listening.close()
        yield f"http://{openssh.LOOPBACK}:{port}", secrets.api_token
