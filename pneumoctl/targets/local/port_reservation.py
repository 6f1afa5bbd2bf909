"""Port reservations of all stacks of a user on this machine: no two stacks have the same port."""

from pneumoctl.errors import PneumoError
from pneumoctl.stack.lock import waited_for
from pneumoctl.stack.saved import Ports
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.common.ports import free
from pneumoctl.targets.local import processes

LOCK = ".ports.lock"  # of the ports of all stacks; no stack's lock has this name, since it starts with a dot


class PortsTaken(PneumoError):
    """Another stack took a port after it was chosen. The caller chooses again."""


def of_others(stack: Stack) -> dict[int, str]:
    """Port -> name of the stack that reserved it, running or not. Leaves out the ports of `stack`."""
    holders: dict[int, str] = {}
    folders = stack.directory.parent.iterdir() if stack.directory.parent.is_dir() else ()
    for folder in folders:
        if folder == stack.directory or not (folder / "ports.json").is_file():
            continue
        try:
            ports = Stack(folder.name, folder).ports()
        except PneumoError:  # the file is damaged: the commands of that stack report it
            continue
        holders |= dict.fromkeys(ports.assigned.values(), folder.name) if ports else {}
    return holders


def save(stack: Stack, secrets: Secrets, ports: Ports) -> None:
    """Save the ports of a stack. Raises PortsTaken, and saves nothing, if another stack has taken one of them."""
    stack.make()
    with waited_for(stack.directory.with_name(LOCK)):
        others = of_others(stack)
        lost = {port for port in ports.assigned.values() if port in others} - processes.listening(stack.directory)
        if lost:
            port = min(lost)
            raise PortsTaken(f"stack {others[port]} has taken port {port} meanwhile", "pneumoctl up")
        stack.save(secrets, ports)


def lost(stack: Stack, ports: Ports) -> list[int]:
    """The ports of a stack that another program uses."""
    mine = processes.listening(stack.directory)
    return [port for port in ports.assigned.values() if port not in mine and not free(port)]
