"""Wait until hosts have booted, and show what each of them is waited for."""

from collections.abc import Sequence

from pneumoctl.ssh import first_boot
from pneumoctl.ssh.connections import Connections
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.targets.aws.context import Context
from pneumoctl.terminal.console import console


def wait(context: Context, inventory: Inventory, awaited: Sequence[Host]) -> None:
    """Wait until these hosts of the inventory have booted. Raises PneumoError, see ssh.first_boot.wait."""
    with Connections(inventory, context.stack.ssh) as connections, console.activities("boot") as shown:
        shown.expect(len(awaited))

        def report(host: Host, state: str) -> None:
            if state in (first_boot.UP, first_boot.FAILED):
                shown.end(host.name, state, succeeded=state == first_boot.UP)
            else:
                shown.wait(host.name, state, first_boot.DEADLINE)

        first_boot.wait(awaited, connections, context.aws.console_output, context.stack.ssh, report)
