"""What a stack on aws loses with the host of its store: exported before a teardown; `up` refuses to lose it."""

import shlex
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pneumoctl.aws.terraform.plan_json import Change
from pneumoctl.errors import PneumoError
from pneumoctl.results import final_export, transfer
from pneumoctl.results.mac_keys import KeysMissing
from pneumoctl.results.transfer import NothingStored, Summary
from pneumoctl.ssh.connections import LoginRefused, Unreachable
from pneumoctl.stack.documents import Damaged
from pneumoctl.stack.free_space import NotWritten
from pneumoctl.stack.inventory import STORE, Host, Inventory
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.provisioning import provision
from pneumoctl.targets.aws.store import (
    backups,
    new_store,
    results,
    resume_uploads,
    stack_secrets,
    uploads,
    wanted_imports,
)
from pneumoctl.targets.aws.store.new_store import ADDRESS
from pneumoctl.targets.aws.store.results import HostStore
from pneumoctl.targets.common.keep import not_exported
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted

_COPY = "pneumoctl results export PATH, then: pneumoctl up, which imports it again"
_INTACT = (
    "pneumoctl results export PATH, pneumoctl up --lose-results, pneumoctl results import PATH: adds what is intact"
)


class LosesResults(PneumoError):
    """`up` would replace the host of the store, and lose results."""

    def __init__(self, lost: str, first: str = "", copy: str = _COPY) -> None:
        message = f"{STORE} would be replaced, and with it lost: {lost}. Nothing was changed"
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


def export(context: Context, target: Path, more: int = 0) -> Summary | None:
    """Export the store before its host is destroyed; None if it holds nothing. Raises PneumoError if that fails.

    `more`: bytes that are exported to the same disk besides the store.

    If the host is silent because a teardown was killed while it destroyed the hosts, the export that this one had made
    counts: see final_export.path. If the host is gone, the newest backup is all that is left.
    """
    console.busy(f"exporting the results on {STORE}")
    try:
        if not _may_hold(context):
            return _newest_backup(context, target.parent)
        exported = results.export(context.stack, target, uploads.hosts(context), more)
    except PneumoError as error:
        if isinstance(error, Unreachable) and final_export.holds_all(context.stack):
            return None
        raise _not_exported(context.stack, error) from error
    finally:
        console.idle()
    if exported:
        console.note(f"exported {exported} to {target}")
    return exported


def require_made_here(context: Context) -> None:
    """Raise PneumoError if there is a store, and this machine has no key to its host: then it cannot be exported."""
    if context.stack.made_elsewhere and new_store.host(context) is not None:
        made = "another machine made the stack, and this one has neither its directory nor its keys"
        raise _not_exported(context.stack, PneumoError(made))


def _not_exported(stack: Stack, error: PneumoError) -> PneumoError:
    """The error of a teardown whose export failed with `error`."""
    first = "pneumoctl up, then: pneumoctl teardown"
    if stack.made_elsewhere:
        first = f"pneumoctl teardown where the stack was made, or restore {stack.directory} from a backup"
    if isinstance(error, KeysMissing):
        first = f"{error.hint}, then: pneumoctl teardown"
    if isinstance(error, NotWritten):
        first = error.hint
    if isinstance(error, backups.Unusable):
        first = f"keep {error.folder}"
    hint = f"{first} (or, losing the results: pneumoctl teardown --purge)"
    message = f"{not_exported(f'the results on {STORE}', error.code)}, so nothing was destroyed: {error.message}"
    return PneumoError(message, hint, error.code, **error.details)


def _newest_backup(context: Context, folder: Path) -> Summary | None:
    if final_export.holds_all(context.stack) or (found := backups.fetch(context, folder)) is None:
        return None
    if found[1].unkept:
        raise KeysMissing(found[1].unkept, str(found[0]))
    console.note(f"no results are on {STORE}; exported the newest intact backup, of {found[1]}, to {found[0]}")
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


_ACCOUNTS = "! users and tokens of the page are lost with it: `up` makes a first admin again"


def lines(context: Context, changes: Sequence[Change]) -> list[str]:
    """What a plan does to the store, as text; no line if it leaves it alone."""
    change = next((change for change in changes if change.address == ADDRESS), None)
    if change is not None and change.destroys and (lost := described(context, (ADDRESS,))):
        kept = "Lost unless an export or a backup holds them"
        return [f"! {STORE}, the host of the store, would be replaced. {kept}: {lost}", _ACCOUNTS]
    if change is not None and change.action == "create" and context.stack.hosts() is not None:
        saved = transfer.last_export(context.stack)
        other = f"; your last export: {shlex.quote(saved['path'])}" if saved else ""
        gone = f"! {STORE} is gone, and its results with it. `up` imports the newest backup, if there is one{other}"
        return [gone, _ACCOUNTS]
    return []


@contextmanager
def secured(context: Context, changes: Sequence[Change], agreed_to_lose: bool, adopt: bool = False) -> Iterator[None]:
    """Secure the results before the block, which carries out the changes; uploads go on after it, even if it fails."""
    before = transfer.wanted(context.stack)
    stopped = secure(context, changes, agreed_to_lose, adopt)
    try:
        yield
    finally:
        resumed = resume_uploads.resume(context, stopped)
        store_is_left = STORE in {host.name for host in resumed} and not context.terraform.suspect
        for path in transfer.wanted(context.stack) if store_is_left else ():
            if path not in before:  # the store still holds everything
                transfer.forget_wanted(context.stack, path)


def secure(context: Context, changes: Sequence[Change], agreed_to_lose: bool, adopt: bool = False) -> list[Host]:
    """Make sure that a copy holds all results that a change destroys, and want its import into the new store.

    The copy is the last export, or a backup that is made now; uploads are stopped, on the hosts that it returns. For a
    host that is gone already, it is the newest intact backup. Raises PneumoError, with uploads going on, if there is no
    such copy, or if a key that sealed it is not on this machine. `adopt`: first read newer keys back from the hosts
    that exist.
    """
    change = next((change for change in changes if change.address == ADDRESS), None)
    if change is None or agreed_to_lose:
        return []
    if adopt or not stack_secrets.are_here(context.stack):
        _read_keys_back(context)
    if change.action == "create" and context.stack.hosts() is not None:
        wanted_imports.want_newest_backup(context)
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
    except (LosesResults, KeysMissing, Damaged):
        raise
    except PneumoError as error:
        raise LosesResults(f"an unknown number of results ({error.message})", error.hint) from error
    return hosts


def _secure(context: Context, store: HostStore, doubtful: Sequence[str]) -> None:
    """Want the import of a copy. `doubtful`: the hosts on which uploads may go on, each with the reason."""
    if doubtful:
        raise LosesResults(f"results that are added until then, because uploads may go on ({'; '.join(doubtful)})")
    held = transfer.count(store)
    transfer.require_scored(held)
    if not any(held.counts.values()) and not held.trail:
        return
    copy = _copy_of(context, store, held)
    if copy is None:
        lost = held if any(held.counts.values()) else "the trail of clinical acts"
        raise LosesResults(f"{lost}, which neither an export nor a backup holds")
    if damaged := copy[1].counts["damaged"]:
        raise LosesResults(f"{counted(damaged, 'damaged part')} of {held}", copy=_INTACT)
    if copy[1].trail != held.trail:
        console.warn(f"clinical acts since {copy[0]} was made are lost with {STORE}; `audit --verify` will miss them")
    results.require_unchanged(store, held)
    wanted_imports.want(context.stack, *copy)


def _copy_of(context: Context, store: HostStore, held: Summary) -> tuple[Path, Summary] | None:
    """The last export, unless it has damage or lacks the end of the trail and a backup does not."""
    copy = _export_of(context.stack, held)
    if copy and _is_whole(copy[1], held):
        return copy
    made = _backup_of(context, store, held)
    return made if made and (not copy or copy[1].counts["damaged"] or _is_whole(made[1], held)) else copy


def _is_whole(copied: Summary, held: Summary) -> bool:
    return not copied.counts["damaged"] and copied.trail == held.trail


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


def _read_keys_back(context: Context) -> None:
    """Read newer secrets back from the hosts that exist, before some of them are destroyed."""
    known, left = context.stack.hosts(), {instance.id for instance in context.serving_hosts()}
    hosts = tuple(host for host in known.hosts if host.instance_id in left) if known else ()
    if hosts:
        stack_secrets.read_back(context, Inventory(hosts), adopt=True)
