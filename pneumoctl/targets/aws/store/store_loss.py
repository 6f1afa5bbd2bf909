"""What a stack on aws loses with the host of its store: exported before a teardown; `up` refuses to lose it."""

import shlex
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from pneumoctl.aws.terraform.plan_json import Change
from pneumoctl.errors import PneumoError
from pneumoctl.results import transfer
from pneumoctl.results.mac_keys import KeysMissing
from pneumoctl.results.transfer import NothingStored, Summary
from pneumoctl.ssh.connections import LoginRefused, Unreachable
from pneumoctl.stack.documents import Damaged
from pneumoctl.stack.inventory import STORE, Inventory
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.store import backups, new_store, results, stack_secrets
from pneumoctl.targets.aws.store.new_store import ADDRESS
from pneumoctl.targets.aws.store.results import HostStore
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted

_COPY = "pneumoctl results export PATH, then: pneumoctl up, which imports it again"
_INTACT = (
    "pneumoctl results export PATH, pneumoctl up --lose-results, pneumoctl results import PATH: adds what is intact"
)


class LosesResults(PneumoError):
    """`up` would replace the host of the store, and lose results."""

    def __init__(self, lost: str, copy: str = _COPY) -> None:
        message = f"{STORE} would be replaced, and with it lost: {lost}. Nothing was changed"
        super().__init__(message, f"{copy} (or, losing the results: pneumoctl up --lose-results)")


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

    A teardown that was killed while it destroyed the hosts had exported everything before: that export counts. If the
    host is gone, the newest backup is all that is left.
    """
    console.busy(f"exporting the results on {STORE}")
    try:
        if not _may_hold(context):
            return _newest_backup(context, target.parent)
        exported = results.export(context.stack, target)
    except PneumoError as error:
        if transfer.is_final(context.stack):
            console.note("a teardown that was interrupted had exported all results before")
            return None
        first = "pneumoctl up, then: pneumoctl teardown"
        if context.stack.cloud() is None:
            first = f"pneumoctl teardown where the stack was made, or restore {context.stack.directory} from a backup"
        if isinstance(error, KeysMissing):
            first = f"{error.hint}, then: pneumoctl teardown"
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
    if found[1].unkept:
        raise KeysMissing(found[1].unkept, str(found[0]))
    console.note(f"{STORE} is gone; exported the newest intact backup, of {found[1]}, to {found[0]}")
    return found[1]


def _may_hold(context: Context) -> bool:
    """Whether the store may hold results: its host exists, and answers, or may have been configured."""
    host = new_store.host(context)
    return host is not None and (not new_store.never_configured(context, host) or _answers(context.stack))


def _answers(stack: Stack) -> bool:
    """Whether the host of the store answers; one that refuses the login does."""
    if stack.hosts() is None:
        return False
    try:
        with results.opened(stack) as store:
            store.connections.to(store.machine)
    except PneumoError as error:
        return isinstance(error, LoginRefused) or not isinstance(error, Unreachable)
    return True


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


def secure(context: Context, changes: Sequence[Change], agreed_to_lose: bool, adopt: bool = False) -> None:
    """Make sure that a copy holds all results that a change destroys, and want its import into the new store.

    The copy is the last export, or a backup that is made now; uploads are stopped. For a host that is gone already, it
    is the newest intact backup. Raises PneumoError, with uploads going on, if there is no such copy, or if a key that
    sealed it is not on this machine. `adopt`: first read newer keys back from the hosts that exist.
    """
    change = next((change for change in changes if change.address == ADDRESS), None)
    if change is None or agreed_to_lose:
        return
    if adopt or not stack_secrets.are_here(context.stack):
        _read_keys_back(context)
    if change.action == "create" and context.stack.hosts() is not None:
        _want_newest_backup(context)
    if not change.destroys or not _may_hold(context):
        return
    try:
        with results.opened(context.stack) as store:
            store.connections.to(store.machine)  # if it does not answer, uploads go on
            with results.uploads_stopped(context.stack, store.connections):
                _secure(context, store)
    except NothingStored:
        return
    except (LosesResults, KeysMissing, Damaged):
        raise
    except PneumoError as error:
        raise LosesResults(f"an unknown number of results ({error.message})") from error


def _secure(context: Context, store: HostStore) -> None:
    held = transfer.count(store)
    if not any(held.counts.values()):
        return
    copy = _export_of(context.stack, held)
    if copy is None or copy[1].counts["damaged"]:  # a backup may be from before the damage
        copy = _backup_of(context, store, held) or copy
    if copy is None:
        raise LosesResults(f"{held}, which neither an export nor a backup holds")
    if damaged := copy[1].counts["damaged"]:
        raise LosesResults(f"{counted(damaged, 'damaged part')} of {held}", _INTACT)
    _want_import(context.stack, *copy)


def _export_of(stack: Stack, held: Summary) -> tuple[Path, Summary] | None:
    saved, exported = transfer.last_export(stack), transfer.exported(stack, held)
    return (Path(saved["path"]), exported) if saved and exported else None


def _backup_of(context: Context, store: HostStore, held: Summary) -> tuple[Path, Summary] | None:
    if context.settings.backup_minutes:
        backups.make(store)
    try:
        found = backups.fetch(context, backups.new_folder(context))
    except backups.Unusable:
        return None
    return found if found and found[1].contents == held.contents else None


def _want_import(stack: Stack, path: Path, copy: Summary) -> None:
    """Want the import of a copy, whose keys must be on this machine before the hosts that have them are destroyed."""
    if copy.unkept:
        raise KeysMissing(copy.unkept, str(path), " (or, losing the results: pneumoctl up --lose-results)")
    transfer.want_import(stack, path, copy.contents)


def _want_newest_backup(context: Context) -> None:
    """Want the import of the newest backup, if there is one, beside what is wanted already."""
    try:
        found = backups.fetch(context, backups.new_folder(context))
    except PneumoError as error:
        if not any(path.exists() for path in transfer.wanted(context.stack)):
            raise
        console.warn(f"the newest backup of the results was not fetched: {error.message}")
        return
    if found is not None:
        _want_import(context.stack, *found)


def _read_keys_back(context: Context) -> None:
    """Read newer secrets back from the hosts that exist, before some of them are destroyed."""
    known, left = context.stack.hosts(), {instance.id for instance in context.serving_hosts()}
    hosts = tuple(host for host in known.hosts if host.instance_id in left) if known else ()
    if hosts:
        stack_secrets.read_back(context, Inventory(hosts), adopt=True)


def import_wanted(stack: Stack) -> dict[str, int] | None:
    """Import the exports into the store that replaced the one they were made of; None if there is nothing to import."""
    done: Counter[str] = Counter()
    for path in transfer.wanted(stack):
        if path.exists():
            done.update(_import(stack, path))
        else:
            console.warn(f"{path}, which the new store should import, is gone")
            transfer.forget_wanted(stack, path)
    return dict(done) or None


def _import(stack: Stack, path: Path) -> dict[str, int]:
    console.busy(f"importing {path}")
    try:
        with results.opened(stack) as store:
            done = transfer.import_wanted(stack, store, path)
    except PneumoError as error:
        hint = f"pneumoctl up, or: pneumoctl results import {shlex.quote(str(path))}"
        raise PneumoError(f"the new {STORE} serves without the exported results: {error.message}", hint) from error
    finally:
        console.idle()
    if lost := transfer.without_picture(done):
        console.warn(lost)
    return done
