"""What a stack on aws loses with the host of its store: exported before a teardown; `up` refuses to lose it."""

import json
import shlex
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from pneumoctl.aws.terraform.plan_json import Change
from pneumoctl.errors import PneumoError
from pneumoctl.results import transfer
from pneumoctl.results.transfer import Summary
from pneumoctl.stack.inventory import STORE
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import results
from pneumoctl.targets.aws.context import Context
from pneumoctl.terminal.console import console

ADDRESS = f'aws_instance.host["{STORE}"]'  # terraform's, of the host of the store
_GONE = ("shutting-down", "terminated")


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

    A teardown that was killed while it destroyed the hosts had exported everything before: that export counts.
    """
    console.busy(f"exporting the results on {STORE}")
    try:
        exported = results.export(context.stack, target) if _may_hold(context) else None
    except PneumoError as error:
        saved = transfer.last_export(context.stack)
        if saved and saved.get("final"):
            console.note(f"the results were exported to {saved['path']} by a teardown that was interrupted")
            return None
        first = "pneumoctl up, then: pneumoctl teardown"
        if context.stack.cloud() is None:
            first = f"pneumoctl teardown where the stack was made, or restore {context.stack.directory} from a backup"
        hint = f"{first} (or, losing the results: pneumoctl teardown --purge)"
        message = f"the results on {STORE} were not exported, so nothing was destroyed: {error.message}"
        raise PneumoError(message, hint, error.code, **error.details) from error
    finally:
        console.idle()
    if exported:
        console.note(f"exported {exported} to {target}")
    return exported


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
        return [f"! {STORE}, which holds the store, would be replaced. Lost with it: {lost}"]
    if change is not None and change.action == "create" and context.stack.hosts() is not None:
        saved = transfer.last_export(context.stack)
        source = shlex.quote(saved["path"]) if saved else "PATH"
        return [f"! {STORE} is gone, and its results with it. After `up`: pneumoctl results import {source}"]
    return []


def refuse(context: Context, changed: Collection[str], agreed_to_lose: bool) -> None:
    """Raise PneumoError if a change loses results that no export holds; otherwise stop uploads, and want the export.

    `changed`: the addresses of the resources that are replaced or deleted.
    """
    if ADDRESS not in changed or agreed_to_lose or not _may_hold(context):
        return
    try:
        held = results.held(context.stack)
    except PneumoError as error:
        raise _refusal(f"an unknown number of results ({error.message})") from error
    if held is None or not any(held.counts.values()):
        return
    saved = transfer.last_export(context.stack)
    if saved is None or not transfer.exported(context.stack, held):
        raise _refusal(f"{held}, which no export holds")
    with results.opened(context.stack) as store, results.uploads_stopped(context.stack, store.connections):
        results.require_unchanged(store, held)
        transfer.want_import(context.stack, Path(saved["path"]))


def import_wanted(stack: Stack) -> dict[str, int] | None:
    """Import the export into the store that replaced the one it was made of; None if there is nothing to import."""
    path = transfer.wanted(stack)
    if path is None:
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


def _refusal(lost: str) -> PneumoError:
    hint = (
        "pneumoctl results export PATH, then: pneumoctl up, which imports it again "
        "(or, losing the results: pneumoctl up --lose-results)"
    )
    return PneumoError(f"{STORE} would be replaced, and with it lost: {lost}. Nothing was changed", hint)
