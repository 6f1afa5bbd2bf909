"""Stop and start what takes uploads on the hosts of a stack on aws: the web page and the API."""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from pneumoctl.aws.ec2 import HALTED
from pneumoctl.errors import PneumoError
from pneumoctl.hosts.releases import UNITS
from pneumoctl.ssh import remote_command
from pneumoctl.ssh.connections import Connections, Unreachable
from pneumoctl.stack.inventory import Host
from pneumoctl.targets.aws.context import Context
from pneumoctl.terminal.console import console

Answer = TypeVar("Answer")
_LIMIT_S = 90.0
_STOPPED = {"inactive", "failed"}  # a unit that is not installed is inactive
_STOP = 'systemctl stop "$@"; systemctl show --property=ActiveState --value "$@"'
_NOT_INSTALLED = 5  # systemctl's exit code for a unit that does not exist: the host was never configured


def hosts(context: Context) -> list[Host]:
    """The hosts of the inventory that may take uploads: those that exist in EC2 and are not off."""
    inventory = context.stack.hosts()
    on = {each.id for each in context.aws.instances(context.settings.stack) if each.state not in HALTED}
    return [host for host in inventory.hosts if host.role in UNITS and host.instance_id in on] if inventory else []


@contextmanager
def stopped(connections: Connections, hosts: Sequence[Host]) -> Iterator[list[str]]:
    """Stop uploads on the hosts; yields why that is not certain, one text for each such host.

    They start again only if that or the block is interrupted or fails.
    """
    try:
        yield _stop(connections, hosts)
    except BaseException:
        start(connections, hosts)
        raise


def _stop(connections: Connections, hosts: Sequence[Host]) -> list[str]:
    def stop(host: Host) -> str:
        try:
            done = remote_command.run(connections, host, ("sh", "-c", _STOP, "sh", *_units(host)), _LIMIT_S)
        except Unreachable as error:
            return error.message
        states = done.stdout.split()
        if done.code == 0 and len(states) == len(_units(host)) and _STOPPED.issuperset(states):
            return ""
        return f"{host.name}: {done.stderr.strip() or ', '.join(states) or 'no answer'}"

    return [failure for failure in _on_all(hosts, stop) if failure]


def start(connections: Connections, hosts: Collection[Host]) -> None:
    """Start uploads on these hosts. Raises nothing: it is called after failures, and each host is worth the attempt."""

    def tell(host: Host) -> None:
        try:
            done = remote_command.run(connections, host, ("systemctl", "start", *_units(host)), _LIMIT_S)
            failure = done.stderr.strip() if done.code not in (0, _NOT_INSTALLED) else ""
        except PneumoError as error:
            failure = error.message
        if failure:
            console.warn(
                f"{host.name} takes no uploads: they could not be started again: {failure}; next: pneumoctl up"
            )

    _on_all(hosts, tell)


def _units(host: Host) -> list[str]:
    return [f"{UNITS[host.role]}.{kind}" for kind in ("socket", "service")]


def _on_all(hosts: Collection[Host], tell: Callable[[Host], Answer]) -> list[Answer]:
    with ThreadPoolExecutor(max(1, len(hosts))) as pool:
        return list(pool.map(tell, hosts))
