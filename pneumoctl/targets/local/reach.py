"""The transport and the service commands of this machine."""

from pneumoctl.plan.executor import HostAccess
from pneumoctl.plan.transport import LocalTransport
from pneumoctl.stack.inventory import Inventory
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.local import supervisor


def reach(stack: Stack, inventory: Inventory) -> dict[str, HostAccess]:
    """How each host of the inventory is acted on."""
    local = HostAccess(LocalTransport(), lambda action: supervisor.argv(stack.directory, action))
    return {host.name: local for host in inventory.hosts}
