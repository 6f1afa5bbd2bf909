"""What a stack on aws loses with the host of its store: exported before a teardown; `up` refuses to lose it."""

import json
import shlex
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pneumoctl.aws.ec2 import HALTED, HALTING
from pneumoctl.aws.terraform.plan_json import Change
from pneumoctl.errors import PneumoError
from pneumoctl.results import transfer
from pneumoctl.results.transfer import NothingStored, Summary
from pneumoctl.ssh.connections import Unreachable
from pneumoctl.stack.inventory import STORE, Host
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.provisioning import provision
from pneumoctl.targets.aws.store import backups, results, uploads
from pneumoctl.targets.aws.store.results import HostStore
from pneumoctl.terminal.console import console

ADDRESS = f'aws_instance.host["{STORE}"]'  # terraform's, of the host of the store
_GONE = ("shutting-down", "terminated")


class LosesResults(PneumoError):
    """`up` would replace the host of the store, and lose results."""

    def __init__(self, lost: str, first: str = "") -> None:
        message = f"{STORE} would be replaced, and with it lost: {lost}. Nothing was changed"
        copy = "pneumoctl results export PATH, then: pneumoctl up, which imports it again"
        hint = f"{first}; or: {copy}" if first else copy
        super().__init__(message, f"{hint} (or, losing the results: pneumoctl up --lose-results)")


def described(context: Context, doomed: Collection[str]) -> str:
    """What the store on a host that will be destroyed holds, or why that is not known; empty if it holds nothing."""
    try:
        if ADDRESS not in doomed or not _may_hold(context):
            return ""
        held = results.held(context.stack)
    except PneumoError as error:
        return f"an unknown number of results on {STORE} ({error.message})"
    return f"{held} on {STORE}" if held else ""


def export(context: Context, target: Path) -> Summary | None:
    """Export the store before its host is destroyed; None if it holds nothing. Raises PneumoError if that fails.

    If the host is silent because a teardown was killed while it destroyed the hosts, the export that this one had made
    counts: see transfer.final_export. If the host is gone, the newest backup is all that is left.
    """
    console.busy(f"exporting the results on {STORE}")
    try:
        if not _may_hold(context):
            return _newest_backup(context, target.parent)
        exported = results.export(context.stack, target, uploads.hosts(context))
    except PneumoError as error:
        if isinstance(error, Unreachable) and transfer.is_final(context.stack):
            return None
        first = "pneumoctl up, then: pneumoctl teardown"
        if context.stack.cloud() is None:
            first = f"pneumoctl teardown where the stack was made, or restore {context.stack.directory} from a backup"
        if isinstance(error, backups.Unusable):
            first = f"keep {error.folder}"
        hint = f"{first} (or, losing the results: pneumoctl teardown --purge)"
        message = f"the results on {STORE} were not exported, so nothing was destroyed: {error.message}"
        raise PneumoError(message, hint, error.code, **error.details) from error
    finally:
        console.idle()
    if exported:
        console.note(f"exported {exported} to {target}")
    return exported


def _newest_backup(context: Context, folder: Path) -> Summary | None:
    if transfer.is_final(context.stack) or (found := backups.fetch(context, folder)) is None:
        return None
    console.note(f"no results are on {STORE}; exported the newest intact backup, of {found[1]}, to {found[0]}")
    return found[1]


def _may_hold(context: Context) -> bool:
    """Whether the store may hold results: its host exists, and may have been configured."""
    instances = {instance.name: instance for instance in context.aws.instances(context.settings.stack)}
    host = instances.get(STORE)
    return host is not None and host.state not in _GONE and not _never_configured(context.stack)


def _never_configured(stack: Stack) -> bool:
    """Whether this directory made the stack, and its journal shows no step on the host of the store."""
    if stack.cloud() is None or not stack.journal.exists():
        return False
    hosts = set()
    for line in stack.journal.read_text().splitlines():
        with suppress(ValueError):  # a line that was cut off
            hosts.add(json.loads(line).get("host"))
    return STORE not in hosts


def lines(context: Context, changes: Sequence[Change]) -> list[str]:
    """What a plan does to the store, as text; no line if it leaves it alone."""
    change = next((change for change in changes if change.address == ADDRESS), None)
    if change is not None and change.destroys and (lost := described(context, (ADDRESS,))):
        return [
            f"! {STORE}, the host of the store, would be replaced. Lost unless an export or a backup holds them: {lost}"
        ]
    if change is not None and change.action == "create" and context.stack.hosts() is not None:
        saved = transfer.last_export(context.stack)
        other = f"; your last export: {shlex.quote(saved['path'])}" if saved else ""
        return [f"! {STORE} is gone, and its results with it. `up` imports the newest backup, if there is one{other}"]
    return []


@contextmanager
def secured(context: Context, changes: Sequence[Change], agreed_to_lose: bool) -> Iterator[None]:
    """Secure the results before the block, which carries out the changes; uploads go on after it, even if it fails."""
    before = transfer.wanted(context.stack)
    stopped = secure(context, changes, agreed_to_lose)
    try:
        yield
    finally:
        resumed = resume(context, stopped)
        store_is_left = STORE in {host.name for host in resumed} and not context.terraform.suspect
        if before is None and store_is_left:  # it still holds everything
            transfer.forget_wanted(context.stack)


def secure(context: Context, changes: Sequence[Change], agreed_to_lose: bool) -> list[Host]:
    """Make sure that a copy holds all results that a change destroys, and want its import into the new store.

    The copy is the last export, or a backup that is made now; uploads are stopped, on the hosts that it returns. For a
    host that is gone already, it is the newest intact backup. Raises PneumoError, with uploads going on, if there is no
    such copy.
    """
    change = next((change for change in changes if change.address == ADDRESS), None)
    if change is None or agreed_to_lose:
        return []
    if change.action == "create" and context.stack.hosts() is not None:
        found = backups.fetch(context, backups.new_folder(context))
        if found is not None and (other := transfer.waiting(context.stack)):
            path = shlex.quote(str(found[0]))
            console.warn(f"{other} is imported first; when the stack is up: pneumoctl results import {path}")
        elif found is not None:
            transfer.want_import(context.stack, found[0])
    if not change.destroys or not _may_hold(context):
        return []
    try:
        provision.boot_stopped_hosts(context)  # a store that is off can be neither copied nor exported
        hosts = uploads.hosts(context)
        with results.opened(context.stack) as store:
            store.connections.to(store.machine)  # if it does not answer, uploads go on
            with uploads.stopped(store.connections, hosts) as doubtful:
                _secure(context, store, doubtful)
    except NothingStored:
        return []
    except LosesResults:
        raise
    except PneumoError as error:
        raise LosesResults(f"an unknown number of results ({error.message})", error.hint) from error
    return hosts


def resume_unless_destroyed(context: Context) -> None:
    """Start uploads again after a teardown that failed, if it has destroyed no host."""
    inventory = context.stack.hosts()
    serving = {host.instance_id for host in inventory.hosts if host.role != "train"} if inventory else set()
    try:
        left = {each.id for each in context.aws.instances(context.settings.stack) if each.state not in _GONE}
        stopped = uploads.hosts(context) if serving <= left else []
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
        transfer.reopen(context.stack)
        resumed = [host for host in stopped if host.instance_id in left]
        with results.opened(context.stack) as store:
            uploads.start(store.connections, resumed)
        return resumed
    except PneumoError as error:
        console.warn(f"uploads stay stopped until the next pneumoctl up: {error.message}")
        return []


def _secure(context: Context, store: HostStore, doubtful: Sequence[str]) -> None:
    """Want the import of a copy. `doubtful`: the hosts on which uploads may go on, each with the reason."""
    if doubtful:
        raise LosesResults(f"results that are added until then, because uploads may go on ({'; '.join(doubtful)})")
    held = transfer.count(store)
    if not any(held.counts.values()):
        return
    copy = _export_of(context.stack, held) or _backup_of(context, store, held)
    if copy is None:
        raise LosesResults(f"{held}, which neither an export nor a backup holds")
    results.require_unchanged(store, held)
    transfer.want_import(context.stack, copy)


def _export_of(stack: Stack, held: Summary) -> Path | None:
    saved = transfer.last_export(stack)
    return Path(saved["path"]) if saved and transfer.exported(stack, held) else None


def _backup_of(context: Context, store: HostStore, held: Summary) -> Path | None:
    if context.settings.backup_minutes:
        backups.make(store)
    try:
        found = backups.fetch(context, backups.new_folder(context))
    except backups.Unusable:
        return None
    return found[0] if found and found[1].contents == held.contents else None


def import_wanted(stack: Stack) -> dict[str, int] | None:
    """Import the export into the store that replaced the one it was made of; None if there is nothing to import."""
    path = transfer.wanted(stack)
    if path is None:
        return None
    if not path.exists():
        console.warn(f"{path}, which the new store should import, is gone")
        transfer.forget_wanted(stack)
        return None
    console.busy(f"importing {path}")
    try:
        with results.opened(stack) as store:
            return transfer.import_wanted(stack, store)
    except PneumoError as error:
        hint = f"pneumoctl up, or: pneumoctl results import {shlex.quote(str(path))}"
        raise PneumoError(f"the new {STORE} serves without the exported results: {error.message}", hint) from error
    finally:
        console.idle()
