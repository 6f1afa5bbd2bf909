"""`pneumoctl results`: export the results in the stack's store, import an export, report and erase results."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.cli.options import Yes
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.results import archive, erasure, import_report, transfer
from pneumoctl.results.mac_keys import KeysMissing
from pneumoctl.scoring import stored_results
from pneumoctl.scoring.api_client import ApiClient
from pneumoctl.stack import audit
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.dispatch import target
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted

_CHANGES = ("added", "repaired", "reviews", "withdrawals")  # counts of an import

app = typer.Typer(name="results", help="Export, import, report and erase stored results.", rich_markup_mode=None)

Export = Annotated[Path, typer.Argument(metavar="FILE.tar|FOLDER", help="A name that ends with .tar is one file.")]


@app.command()
@on_stack()
def export(invocation: Invocation, path: Export) -> int:
    """Export all results to a new file or folder.

    It holds results, pictures and reviews, and only you can read it. The stack goes on serving. Every file is read back
    and compared with its digest. An export never contains the keys that seal its results: they are kept beside the
    stack's directory, in STACK.mac-keys.json. Back up both.

    Exit codes: 6 parts of the store are damaged; they are in the export as they are. Also if a key that seals results
    is not on this machine.
    """
    stack, place = invocation.stack, path.expanduser().absolute()
    if path == Path():  # also what an empty argument is
        raise PneumoError("the path is empty, or the current folder", "name a new file or folder", Exit.USAGE)
    archive.require_new(place)
    with target(*invocation).results() as store, audit.recorded(stack, "results export", {}) as act:
        act.begin()
        console.note(f"reading the store on {store.host}")
        console.busy(f"reading the store on {store.host}")
        transfer.require_space(store, place)
        exported = transfer.export(stack, store, place)
        console.idle()
        act.changed = []
        act.code = Exit.PARTLY if exported.counts["damaged"] or exported.unkept else Exit.DONE
    console.result({"stack": stack.name, "path": place, **exported.counts})
    console.text(f"exported {exported} to {place}")
    if exported.unkept:
        missing = KeysMissing(exported.unkept, str(place))
        console.warn(f"{missing.message}: {missing.hint}, then export again")
    return act.code


@app.command(name="import")
@on_stack()
def import_(
    invocation: Invocation,
    path: Export,
    mac_keys: Annotated[
        Path | None,
        typer.Option("--mac-keys", metavar="FILE", help="The kept keys of the stack that made the export."),
    ] = None,
    yes: Yes = False,
) -> int:
    """Add the results of an export to the stack's store.

    The export is verified as a whole before anything is stored: its digests, and the seal of each result. Results that
    another stack sealed are sealed anew with this stack's key, once their own seal was verified. A stored result is
    never replaced, unless it is damaged or has expired, so that importing twice changes nothing. Results that were
    erased since the export come back; the question names them, and so does the report. Results older than the setting
    retention_days are not added.
    """
    stack, place = invocation.stack, path.expanduser().absolute()
    manifest = archive.verify(place)
    addition = f"{transfer.described(manifest.counts)} to the store of stack {stack.name}"
    if not yes and not console.ask(f"Add {addition}?{_comes_back(invocation, place)}"):
        raise PneumoError(f"cancelled: nothing was imported; it would add {addition}", "answer y, or give --yes")
    with stack.locked("results import"), audit.recorded(stack, "results import", {}) as act:
        with target(*invocation).results() as store:
            act.begin(audit.plan_digest(manifest.contents))
            console.busy(f"importing into the store on {store.host}")
            done = transfer.restore(stack, store, place, mac_keys)
            console.idle()
        act.changed = [f"{name}: {number}" for name, number in done.items() if number and name in _CHANGES]
    console.result({"stack": stack.name, "path": place, **done})
    added = f"{counted(done['added'], 'result')} and {counted(done['reviews'], 'review')} added"
    if done["withdrawals"]:
        added += f", {counted(done['withdrawals'], 'review')} withdrawn"
    before = f"{done['present']} the same, {done['kept']} different ones, which were kept"
    console.text(f"{added}, {done['repaired']} damaged ones repaired; stored before: {before}")
    for warning in import_report.warnings(done):
        console.warn(warning)
    return 0


@app.command()
@on_stack()
def report(
    invocation: Invocation,
    path: Annotated[Path, typer.Argument(metavar="FILE.csv", help="A new file.")],
) -> int:
    """Write all results to a new CSV file, for people and spreadsheets.

    It has a line for each result, with the review that counts, and holds no pictures. Only you can read it. It has file
    names, which may name patients. Nothing in it is a diagnosis. The stack must run. To move results to another stack,
    use results export.

    Exit codes: 6 records or reviews are damaged; their lines say so and have no finding.
    """
    stack, place = invocation.stack, path.expanduser().absolute()
    if place.suffix.lower() != ".csv":
        raise PneumoError(f"{path} does not end with .csv", "name a new file, such as results.csv", Exit.USAGE)
    if place.exists() or place.is_symlink():
        raise PneumoError(f"{place} exists already", "name another file", Exit.USAGE)
    with target(*invocation).api() as endpoint, audit.recorded(stack, "results report", {}) as act:
        act.begin()
        console.busy("reading the results from the API")
        counts = stored_results.save(ApiClient.of(endpoint), place)
        console.idle()
        act.changed = []
        act.code = Exit.PARTLY if counts["damaged"] else Exit.DONE
    console.result({"stack": stack.name, "path": place, **counts})
    console.text(f"{counted(counts['results'], 'result')}, {counts['reviewed']} reviewed, written to {place}")
    if counts["damaged"]:
        console.warn(f"{counted(counts['damaged'], 'line')} of damaged records or reviews: see the error columns")
    return act.code


def _comes_back(invocation: Invocation, export: Path) -> str:
    """The erased results that an import would bring back, for its question."""
    with target(*invocation).results() as store:
        back = sorted(erasure.erased(store) & archive.result_ids(export))
    return f" {counted(len(back), 'result')} that had been erased would come back: {', '.join(back)}." if back else ""


@app.command()
@on_stack()
def erase(
    invocation: Invocation,
    ids: Annotated[list[str], typer.Argument(metavar="ID..", help="Ids of results: 32 digits of 0-9 and a-f.")],
    yes: Yes = False,
) -> int:
    """Erase results with their pictures, heat maps and reviews.

    This cannot be undone. The stack goes on serving, and an export or backup that is made later does not hold them.
    Earlier ones still do. Redis is made to write its file anew, so that the disk of the store does not hold them
    either. Erasing an erased result again changes nothing else.

    Exit codes: 6 some of the ids are of no result, or the store failed before all were erased; the others are erased.
    Also if the file of Redis could not be written anew. 1 none of them is of a result, or none is known to be erased.
    """
    stack, wanted = invocation.stack, erasure.checked(ids)
    rewriter = stack.require_secrets().redis_rewriter_password
    what = f"{counted(len(wanted), 'result')} of stack {stack.name}, with pictures and reviews"
    if not yes and not console.ask(f"Erase {what}? This cannot be undone."):
        raise PneumoError(f"cancelled: nothing was erased; it would erase {what}", "answer y, or give --yes")
    with stack.locked("results erase"), audit.recorded(stack, "results erase", {"ids": " ".join(wanted)}) as act:
        with target(*invocation).results() as store:
            act.begin(audit.plan_digest(wanted))
            done = erasure.erase(store, wanted, rewriter, audit.current_user())
        act.changed = [f"erased {identifier}" for identifier in done.erased]
        if len(done.unknown) == len(wanted):
            raise _unknown(done.unknown)
        act.code = Exit.PARTLY if done.unknown or done.failed or done.still_in_file else Exit.DONE
    _tell(stack, done)
    return act.code


def _tell(stack: Stack, done: erasure.Erased) -> None:
    """Tell what became of each id."""
    lists = {"erased": done.erased, "before": done.before, "unknown": done.unknown, "failed": done.failed}
    reasons = {"reason": done.reason and done.reason.message, "still_in_file": done.still_in_file}
    console.result({"stack": stack.name, **lists, **reasons})
    before = f"; {len(done.before)} erased before" if done.before else ""
    console.text(f"{counted(len(done.erased), 'result')} erased{before}")
    if done.unknown:
        console.warn(_unknown(done.unknown).message)
    if done.reason:
        left = f"{counted(len(done.failed), 'result')} not erased, or not known to be: {', '.join(done.failed)}"
        console.warn(f"{left}. {done.reason.message}: {done.reason.hint}, then erase these again")
    if done.still_in_file:
        console.warn(
            f"the file of Redis on the disk of the store may still hold what is erased: {done.still_in_file}. "
            "If Redis rejects the login, run: pneumoctl up. Then erase the same ids again"
        )


def _unknown(ids: Sequence[str]) -> PneumoError:
    message = f"no result has the id {', '.join(ids)}: it never existed, or it has expired"
    return PneumoError(message, "copy the id from the page of the result, under Details", unknown=list(ids))
