"""Stop and start what takes uploads on the hosts of a stack on aws: the web page and the API."""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from pneumoctl.aws.ec2 import HALTED
from pneumoctl.errors import PneumoError
from pneumoctl.hosts.releases import UNITS
from pneumoctl.plan.transport import Output
from pneumoctl.ssh import remote_command
from pneumoctl.ssh.connections import Connections, Unreachable
from pneumoctl.stack.inventory import Host
from pneumoctl.targets.aws.context import Context
from pneumoctl.terminal.console import console

_LIMIT_S = 90.0
_NOT_INSTALLED = 5  # systemctl's exit code for a unit that does not exist: the host was never configured


def hosts(context: Context) -> list[Host]:
    """The hosts of the inventory that may take uploads: those that exist in EC2 and are not off."""
    inventory = context.stack.hosts()
    on = {each.id for each in context.aws.instances(context.settings.stack) if each.state not in HALTED}
    return [host for host in inventory.hosts if host.role in UNITS and host.instance_id in on] if inventory else []


@contextmanager
def stopped(connections: Connections, hosts: Sequence[Host]) -> Iterator[None]:
    """Stop uploads on all hosts that answer; start them again only if that or the block is interrupted or fails."""
    try:
        _stop(connections, hosts)
        yield
    except BaseException:
        start(connections, hosts)
        raise


def _stop(connections: Connections, hosts: Sequence[Host]) -> None:
    def stop(host: Host) -> None:
        try:
            _systemctl(connections, host, "stop")
        except Unreachable as error:
            console.warn(f"uploads on {host.name} were not stopped: {error.message}")

    _on_all(hosts, stop)


def start(connections: Connections, hosts: Collection[Host]) -> None:
    """Start uploads on these hosts. Raises nothing: it is called after failures, and each host is worth the attempt."""

    def tell(host: Host) -> None:
        try:
            done = _systemctl(connections, host, "start")
            failure = done.stderr.strip() if done.code not in (0, _NOT_INSTALLED) else ""
        except PneumoError as error:
            failure = error.message
        if failure:
            console.warn(f"uploads on {host.name} were not started (next: pneumoctl up): {failure}")

    _on_all(hosts, tell)


def _systemctl(connections: Connections, host: Host, verb: str) -> Output:
    units = [f"{UNITS[host.role]}.{kind}" for kind in ("socket", "service")]
    return remote_command.run(connections, host, ("systemctl", verb, *units), _LIMIT_S)


def _on_all(hosts: Collection[Host], tell: Callable[[Host], None]) -> None:
    with ThreadPoolExecutor(max(1, len(hosts))) as pool:
        list(pool.map(tell, hosts))
