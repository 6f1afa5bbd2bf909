"""The API of a stack on AWS, through an SSH forward, and the models that its hosts serve."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pneumoctl.errors import PneumoError
from pneumoctl.scoring.api_client import Endpoint
from pneumoctl.ssh import hosts as ssh_hosts
from pneumoctl.ssh import openssh
from pneumoctl.stack import inventory
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.configuration import desired
from pneumoctl.targets.common import ports


@contextmanager
def forwarded(stack: Stack) -> Iterator[Endpoint]:
    """Address and token of the API; the forward ends with the block. Raises PneumoError if it cannot be reached."""
    secrets = stack.require_secrets()
    stack_inventory = openssh.inventory(stack)
    host, port = openssh.choose(stack_inventory, "app-0"), ports.choose(inventory.PORTS["api"])
    argv = openssh.forward(stack, host, port, f"{host.address}:{inventory.PORTS['api']}")
    with openssh.Client(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as client:
        listening = client.forwarded(port)
        if listening is None:
            message = f"the API on {host.name} cannot be reached over SSH"
            raise openssh.explain(stack_inventory, host, client.stderr()) or PneumoError(message, "pneumoctl status")
        listening.close()
        yield Endpoint(f"http://{openssh.LOOPBACK}:{port}", secrets.api_token)


def served_models(stack: Stack) -> set[str]:
    """The models that the stack's hosts serve now. Raises PneumoError if a host does not answer."""
    stack_inventory = stack.hosts()
    names = [host.name for host in stack_inventory.hosts if host.role == "app"] if stack_inventory else []
    if not names:
        return set()
    with ssh_hosts.opened(stack, names, change=False) as hosts:
        for error in hosts.unreachable.values():
            raise error
        links = [links["model/current"] for links in desired.current_links(hosts).values() if "model/current" in links]
    return {Path(link).name for link in links}
