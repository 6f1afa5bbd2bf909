"""The transport and the service commands for this machine."""

from pneumoctl.plan.executor import HostAccess
from pneumoctl.plan.transport import LocalTransport
from pneumoctl.stack.inventory import Inventory
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.local import supervisor


def reach(stack: Stack, inventory: Inventory) -> dict[str, HostAccess]:
    """Host name -> how to run commands on it, for each host of the inventory."""
    local = HostAccess(LocalTransport(), lambda action: supervisor.argv(stack.directory, action))
    return {host.name: local for host in inventory.hosts}
