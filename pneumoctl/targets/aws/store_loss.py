"""What a stack on aws loses with the host of its store, and its export before a teardown."""

import json
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

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
