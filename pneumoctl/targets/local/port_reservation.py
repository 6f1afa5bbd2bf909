"""The ports of all stacks of a user on this machine: no port is given to two of them."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pneumoctl.errors import PneumoError
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.stack import Ports, Stack
from pneumoctl.targets.common.ports import free
from pneumoctl.targets.local import processes


class PortsTaken(PneumoError):
    """Between the choice of a port and its use another took it: choose again."""


def of_others(stack: Stack) -> dict[int, str]:
    """Port -> name of the stack that has it, whether it runs or not; without those of `stack`."""
    found: dict[int, str] = {}
    folders = stack.directory.parent.iterdir() if stack.directory.parent.is_dir() else ()
    for folder in folders:
        if folder == stack.directory or not (folder / "ports.json").is_file():
            continue
        try:
            ports = Stack(folder.name, folder).ports()
        except PneumoError:  # damaged: its own commands tell of it
            continue
        found |= dict.fromkeys(ports.given.values(), folder.name) if ports else {}
    return found


def save(stack: Stack, secrets: Secrets, ports: Ports) -> None:
    """Save the ports of a stack, unless another has one of them by now: PortsTaken, and nothing is saved."""
    stack.make()
    with _locked(stack):
        others = of_others(stack)
        lost = {port for port in ports.given.values() if port in others} - processes.listening(stack.directory)
        if lost:
            port = min(lost)
            raise PortsTaken(f"stack {others[port]} has taken port {port} meanwhile", "pneumoctl up")
        stack.save(secrets, ports)


def lost(stack: Stack, ports: Ports) -> list[int]:
    """The ports of a stack on which another program listens."""
    mine = processes.listening(stack.directory)
    return [port for port in ports.given.values() if port not in mine and not free(port)]


@contextmanager
def _locked(stack: Stack) -> Iterator[None]:
    """One stack of the user at a time. A name with a dot at its start is that of no stack's lock."""
    handle = os.open(stack.directory.with_name(".ports.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
