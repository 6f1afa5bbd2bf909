"""The copies of the results that a new host of the store has to import: wanted before the change, imported after it."""

import shlex
from collections import Counter
from pathlib import Path
from typing import Any

from pneumoctl.errors import PneumoError
from pneumoctl.results import import_report, transfer
from pneumoctl.results.mac_keys import KeysMissing
from pneumoctl.results.transfer import Summary
from pneumoctl.stack.inventory import STORE
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.store import backups, results
from pneumoctl.terminal.console import console


def want(stack: Stack, path: Path, copy: Summary) -> None:
    """Want the import of a copy, whose keys must be on this machine before the hosts that have them are destroyed."""
    if copy.unkept:
        raise KeysMissing(copy.unkept, str(path), " (or, losing the results: pneumoctl up --lose-results)")
    transfer.want_import(stack, path, copy.contents)


def want_newest_backup(context: Context) -> None:
    """Want the import of the newest backup, if there is one, beside what is wanted already."""
    try:
        found = backups.fetch(context, backups.new_folder(context))
    except PneumoError as error:
        if not any(path.exists() for path in transfer.wanted(context.stack)):
            raise
        console.warn(f"the newest backup of the results was not fetched: {error.message}")
        return
    if found is not None:
        want(context.stack, *found)


def import_all(stack: Stack) -> dict[str, Any] | None:
    """Import the exports into the store that replaced the one they were made of; None if there is nothing to import.

    Returns the counts, and in `brought_back` the ids of erased results that came back, if any did.
    """
    done: Counter[str] = Counter()
    back: list[str] = []
    for path in transfer.wanted(stack):
        if path.exists():
            imported = _import(stack, path)
            back += imported.get("brought_back", ())
            done.update({name: number for name, number in imported.items() if isinstance(number, int)})
        else:
            console.warn(f"{path}, which the new store should import, is gone")
            transfer.forget_wanted(stack, path)
    return {**done, **({"brought_back": back} if back else {})} or None


def _import(stack: Stack, path: Path) -> dict[str, Any]:
    console.busy(f"importing {path}")
    try:
        with results.opened(stack) as store:
            done = transfer.import_wanted(stack, store, path)
    except PneumoError as error:
        hint = f"pneumoctl up, or: pneumoctl results import {shlex.quote(str(path))}"
        raise PneumoError(f"the new {STORE} serves without the exported results: {error.message}", hint) from error
    finally:
        console.idle()
    for warning in import_report.warnings(done):
        console.warn(warning)
    return done
