"""`teardown` on aws: stop the GPU, export results, destroy everything, and prove by tags that nothing remains."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumoctl.aws import leftovers, s3
from pneumoctl.aws.leftovers import BUCKET_ADDRESS, Remaining
from pneumoctl.aws.terraform.errors import NOT_EMPTY
from pneumoctl.errors import PneumoError
from pneumoctl.gpu import orphans
from pneumoctl.results import transfer
from pneumoctl.results.transfer import Summary
from pneumoctl.stack import audit
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import trainings
from pneumoctl.targets.aws.context import Context, last_applied_variables, open_context, read_only
from pneumoctl.targets.aws.provisioning import provision
from pneumoctl.targets.aws.store import backups, store_loss
from pneumoctl.targets.common.keep import RESULTS, Keep, new_folder
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import Report, counted

EVERYTHING = ("",)  # all prefixes
ATTEMPTS = 3  # to empty the bucket and destroy it before something is written to it


@dataclass(frozen=True)
class Exported:
    """The folder of an export, None if there was nothing to export, and what it holds of the store.

    `before`: the export of the results that an interrupted teardown had made. `waiting`: an export with results that
    were not imported into the store; it stays where it is.
    """

    folder: Path | None = None
    results: Summary | None = None
    before: Path | None = None
    waiting: Path | None = None


def teardown(
    settings: Settings, stack: Stack, keep: Keep, agreed: bool, dry_run: bool, end_training: bool = False
) -> Report:
    """Destroy the stack; success if it is gone already. Raises PneumoError with the names of what remains."""
    if dry_run:
        return _preview(settings, stack, keep)
    options = {"purge": keep == "nothing", "results_only": keep == "results", "yes": agreed}
    options["end_training"] = end_training
    with stack.locked("teardown"), ExitStack() as held, audit.recorded(stack, "teardown", options) as act:
        context = open_context(settings, stack)
        orphans.start_alarm(context.aws)
        if _is_gone(context):
            _forget(stack)
            return _end(context, [], Exported(), [])
        provision.prepare(context, last_applied_variables(context), "all")
        doomed = _doomed(context)
        console.show(list(_description(context, doomed, keep)), stderr=True)
        under_way = trainings.find(context, held)
        trainings.require_agreement(under_way, end_training)
        _ask(context, doomed, agreed)
        act.arn = context.account.arn
        act.begin(audit.plan_digest(doomed))
        trainings.end(context, under_way, held)
        # Before anything that may fail: a running GPU costs money.
        provision.stop_training_hosts(context, spare_leased=False)
        exported = _export_and_destroy(context, keep, doomed)
        act.changed = doomed
        left = _prove(context)
        if not left:
            _forget(stack)
    return _end(context, doomed, exported, left)


def _preview(settings: Settings, stack: Stack, keep: Keep) -> Report:
    """What a teardown would destroy."""
    context = open_context(settings, stack)
    orphans.start_alarm(context.aws)
    if _is_gone(context):
        return _end(context, [], Exported(), [])
    with read_only(settings, stack) as copy:
        provision.prepare(copy, last_applied_variables(copy))
        doomed = _doomed(copy)
        return Report(_document(copy, doomed, Exported()), list(_description(copy, doomed, keep)))


def _is_gone(context: Context) -> bool:
    return not context.stack.exists and not leftovers.search(context.aws, context.settings.stack, context.bucket)


def _doomed(context: Context) -> list[str]:
    return [resource.address for resource in context.terraform.resources()]


def _description(context: Context, doomed: list[str], keep: Keep) -> Iterator[str]:
    """The resources that will be destroyed, as lines of text."""
    if not doomed:
        return
    yield f"tear down stack {context.settings.stack} in {context.settings.region} (account {context.account.id})"
    for address in doomed:
        yield f"  - {address}"
    if stored := store_loss.described(context, doomed):
        yield f"  {stored}: {'deleted without export' if keep == 'nothing' else 'exported first'}"
    if path := transfer.waiting(context.stack):
        yield f"  results in {path} were not imported into the store: this export stays where it is"
    name = _bucket_name(context)
    files = _files(context, name) if name else []
    if files:
        size = sum(file.size for file in files) / 1e6
        fate = "exported first" if keep == "everything" else "deleted without export"
        yield f"  {counted(len(files), 'file')} ({size:.1f} MB) in bucket {name}: {fate}"


def _ask(context: Context, doomed: list[str], agreed: bool) -> None:
    name = context.settings.stack
    if doomed and not agreed and not console.ask_for(name, "Everything above is destroyed permanently."):
        raise PneumoError("cancelled: nothing was destroyed", f"type {name} when asked, or give --yes")


def _bucket_name(context: Context) -> str:
    """The bucket that terraform made for this stack; empty if there is none. No other bucket is ever touched."""
    return next((resource.id for resource in context.terraform.resources() if resource.address == BUCKET_ADDRESS), "")


def _export_and_destroy(context: Context, keep: Keep, doomed: list[str]) -> Exported:
    """Export what `keep` says, verified, then destroy everything.

    If an export fails, nothing is deleted, and uploads go on, as after any failure before a host was destroyed.
    """
    folder = new_folder(context.stack)
    results = store_loss.export(context, folder / RESULTS) if keep != "nothing" else None
    before = transfer.final_export(context.stack) if keep != "nothing" and results is None else None
    try:
        _empty_and_destroy(context, folder if keep == "everything" else None, doomed)
    except BaseException:
        if results is not None:
            store_loss.resume_unless_destroyed(context)
        raise
    return Exported(folder if folder.exists() else None, results, before, transfer.waiting(context.stack))


def _empty_and_destroy(context: Context, folder: Path | None, doomed: list[str]) -> None:
    """Export the bucket's files to `folder`, if given, empty it and destroy everything.

    Hosts go off after the bucket was emptied, and colleagues may push data: what was written meanwhile is exported and
    deleted, too.
    """
    for left in range(ATTEMPTS - 1, -1, -1):
        _empty_bucket(context, folder)
        try:
            provision.destroy(context, doomed)
            break
        except PneumoError as error:
            if not left or error.details.get("terraform") != NOT_EMPTY:
                raise
            console.note("something was written to the bucket after it was emptied: once more", "yellow")


def _files(context: Context, bucket: str) -> list[s3.Object]:
    """The files of the bucket, without the backups: what they hold is exported from the store itself."""
    return [file for file in s3.objects(context.aws, bucket, EVERYTHING) if not file.key.startswith(backups.PREFIX)]


def _empty_bucket(context: Context, folder: Path | None) -> None:
    """Export the bucket's files to `folder`, if given, and empty it, because AWS deletes only empty buckets."""
    name = _bucket_name(context)
    if not name:
        return
    saved: set[s3.Object] = set()
    while folder and (new := set(_files(context, name)) - saved):  # some may be added meanwhile
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with console.progress("export", sum(file.size for file in new), "bytes") as advance:
            s3.download(context.aws, name, sorted(new, key=lambda file: file.key), folder, advance)
        saved |= new
        console.note(f"exported {counted(len(saved), 'file')} to {folder}")
    s3.empty(context.aws, name)


def _prove(context: Context) -> list[Remaining]:
    console.busy("asking AWS what is left")
    try:
        return leftovers.wait_until_gone(context.aws, context.settings.stack, context.bucket)
    finally:
        console.idle()


def _forget(stack: Stack) -> None:
    """Remove the stack's directory, renamed first: an interruption leaves either a complete stack or none."""
    shutil.rmtree(stack.removed, ignore_errors=True)
    if stack.exists:
        stack.directory.rename(stack.removed)
        shutil.rmtree(stack.removed)


def _end(context: Context, changed: list[str], exported: Exported, left: list[Remaining]) -> Report:
    if left:
        named = ", ".join(f"{resource.kind} {resource.id}" for resource in left)
        kinds = [{"kind": resource.kind, "id": resource.id, "name": resource.name} for resource in left]
        raise PneumoError(f"resources remain in AWS: {named}", "pneumoctl teardown", left=kinds)
    lines = [f"proof: searched by tag and name, nothing of the stack remains in {context.settings.region}"]
    if exported.folder:
        what = f"{exported.results} " if exported.results else ""
        lines.insert(0, f"exported {what}to {exported.folder}")
    if exported.before:
        lines.insert(0, f"an interrupted teardown had exported the results before, to {exported.before}")
    if exported.waiting:
        lines.insert(0, f"results that were not imported into the store stay in {exported.waiting}")
    if not changed:
        lines.insert(0, f"nothing to do: there is no stack {context.settings.stack} in {context.settings.region}")
    if records := context.stack.records():
        lines.append(
            "its records (audit, training runs, promoted model, MAC keys of the exports) stay on this machine: "
            + ", ".join(map(str, records))
        )
    return Report(_document(context, changed, exported), lines)


def _document(context: Context, changed: list[str], exported: Exported) -> dict[str, Any]:
    return {
        "stack": context.settings.stack,
        "changed": changed,
        "exported": exported.folder,
        "exported_before": exported.before,
        "not_imported": exported.waiting,
        "results": dict(exported.results.counts) if exported.results else None,
        "left": [],
        "records": context.stack.records(),
    }
