"""Uploads that a command stopped go on: after it, or after a teardown that failed before it destroyed anything."""

from collections.abc import Collection

from pneumoctl.aws.ec2 import HALTED, HALTING
from pneumoctl.errors import PneumoError
from pneumoctl.results import final_export
from pneumoctl.stack.inventory import Host
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.store import new_store, results, uploads
from pneumoctl.terminal.console import console


def resume_unless_destroyed(context: Context, doomed: Collection[str]) -> None:
    """Start uploads again after a teardown that failed, if nothing is destroyed of the resources `doomed`.

    Otherwise they stay stopped: the hosts may be out of reach already, and then the next teardown could export nothing
    that was added meanwhile.
    """
    inventory = context.stack.hosts()
    serving = {host.instance_id for host in inventory.hosts if host.role != "train"} if inventory else set()
    try:
        left = {each.id for each in context.aws.instances(context.settings.stack) if each.state not in new_store.GONE}
        whole = serving <= left and set(doomed) <= {each.address for each in context.terraform.resources()}
        stopped = uploads.hosts(context) if whole else []
    except PneumoError as error:
        console.warn(f"uploads stay stopped: {error.message}")
        return
    resume(context, stopped)


def resume(context: Context, stopped: Collection[Host]) -> list[Host]:
    """Start uploads again on those of the hosts that still exist, and return these; a failure is a warning.

    Not while terraform runs, which may still destroy the host of the store with what would be added.
    """
    if not stopped:
        return []
    try:
        if run := context.terraform.current:
            raise PneumoError(f"{run.command} (process {run.pid}) still changes the stack")
        existing = context.aws.instances(context.settings.stack)
        left = {each.id for each in existing if each.state not in HALTING | HALTED}
        final_export.forget(context.stack)
        resumed = [host for host in stopped if host.instance_id in left]
        with results.opened(context.stack) as store:
            uploads.start(store.connections, resumed)
        return resumed
    except PneumoError as error:
        console.warn(f"uploads stay stopped until the next pneumoctl up: {error.message}")
        return []
