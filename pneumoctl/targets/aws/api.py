"""The API of a stack on AWS, through an SSH forward."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from pneumoctl.errors import PneumoError
from pneumoctl.scoring.api_client import Endpoint
from pneumoctl.ssh import openssh
from pneumoctl.stack import inventory
from pneumoctl.stack.stack import Stack
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
