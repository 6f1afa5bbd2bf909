"""`teardown` on aws: stop the GPU, export results, destroy everything, and prove by tags that nothing remains."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumoctl.aws import leftovers
from pneumoctl.aws.leftovers import Remaining
from pneumoctl.aws.terraform.errors import NOT_EMPTY
from pneumoctl.errors import PneumoError
from pneumoctl.gpu import orphans
from pneumoctl.results import final_export, transfer
from pneumoctl.results.transfer import Summary
from pneumoctl.stack import audit, free_space
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import bucket, trainings
from pneumoctl.targets.aws.context import Context, asking_for_gpu, last_applied_variables, open_context, read_only
from pneumoctl.targets.aws.provisioning import provision
from pneumoctl.targets.aws.store import resume_uploads, store_loss
from pneumoctl.targets.common.keep import (
    FILES,
    RESULTS,
    Keep,
    exported_document,
    exported_lines,
    new_folder,
    remove_interrupted,
)
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import Report, counted

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

    @property
    def path(self) -> Path | None:
        """The export of the results."""
        return self.results.path if self.results else None


def teardown(
    settings: Settings, stack: Stack, keep: Keep, agreed: bool, dry_run: bool, end_training: bool = False
) -> Report:
    """Destroy the stack; success if it is gone already. Raises PneumoError with the names of what remains."""
    if dry_run:
        return _preview(settings, stack, keep)
    options = {"purge": keep == "nothing", "results_only": keep == "results", "yes": agreed}
    options["end_training"] = end_training
    with stack.locked("teardown"), ExitStack() as held, audit.recorded(stack, "teardown", options) as act:
        with asking_for_gpu(settings, stack):  # until its host is stopped below
            context = open_context(settings, stack)
            orphans.start_alarm(context.aws)
            if _is_gone(context):
                _forget(stack)
                return _end(context, [], Exported(), [])
            if keep != "nothing":
                store_loss.require_made_here(context)  # before terraform imports the stack, which takes minutes
            provision.prepare(context, last_applied_variables(context), "all")
            doomed = _doomed(context)
            console.show(list(_description(context, doomed, keep)), stderr=True)
            under_way = trainings.find(context, held)
        trainings.require_agreement(under_way, end_training)
        _ask(context, doomed, agreed)
        act.arn = context.account.arn
        act.begin(audit.plan_digest(doomed))
        if under_way:
            act.changed = ["training"]
        trainings.end(context, under_way, held)  # before anything that may fail: a running GPU costs money
        exported = _export_and_destroy(context, keep, doomed)
        act.changed = doomed
        left = _prove(context)
        if not left:
            _forget(stack)
        return _end(context, doomed, exported, left)


def _preview(settings: Settings, stack: Stack, keep: Keep) -> Report:
    """What a teardown would destroy."""
    with asking_for_gpu(settings, stack):
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
    files = bucket.files(context)
    if files:
        size = sum(file.size for file in files) / 1e6
        fate = "exported first" if keep == "everything" else "deleted without export"
        yield f"  {counted(len(files), 'file')} ({size:.1f} MB) in bucket {context.made_bucket}: {fate}"


def _ask(context: Context, doomed: list[str], agreed: bool) -> None:
    name = context.settings.stack
    if doomed and not agreed and not console.ask_for(name, "Everything above is destroyed permanently."):
        raise PneumoError("cancelled: nothing was destroyed", f"type {name} when asked, or give --yes")


def _export_and_destroy(context: Context, keep: Keep, doomed: list[str]) -> Exported:
    """Export what `keep` says, verified, then destroy everything.

    If an export fails, nothing is deleted, and uploads go on, as after any failure before something was destroyed.
    """
    remove_interrupted(context.stack)
    folder = new_folder(context.stack)
    with free_space.no_empty_folders(folder / RESULTS):
        return _export_to(context, folder, keep, doomed)


def _export_to(context: Context, folder: Path, keep: Keep, doomed: list[str]) -> Exported:
    size = sum(file.size for file in bucket.files(context)) if keep == "everything" else 0
    if size:
        bucket.require_space(folder, size)
    results = store_loss.export(context, folder / RESULTS, size) if keep != "nothing" else None
    before = final_export.path(context.stack) if keep != "nothing" and results is None else None
    try:
        _empty_and_destroy(context, folder / FILES if keep == "everything" else None, doomed)
    except BaseException:
        if results is not None:
            resume_uploads.resume_unless_destroyed(context, doomed)
        raise
    return Exported(folder if folder.exists() else None, results, before, transfer.waiting(context.stack))


def _empty_and_destroy(context: Context, folder: Path | None, doomed: list[str]) -> None:
    """Export the bucket's files to `folder`, if given, empty it and destroy everything.

    Hosts go off after the bucket was emptied, and colleagues may push data: what was written after that is exported and
    deleted, too.
    """
    for left in range(ATTEMPTS - 1, -1, -1):
        bucket.empty(context, folder)
        try:
            provision.destroy(context, doomed)
            break
        except PneumoError as error:
            if not left or error.details.get("terraform") != NOT_EMPTY:
                raise
            console.note("something was written to the bucket after it was emptied: once more", "yellow")


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
    lines = [*exported_lines(exported.folder, exported.path, str(exported.results)), *lines]
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
        **exported_document(exported.folder, exported.path),
        "exported_before": exported.before,
        "not_imported": exported.waiting,
        "results": dict(exported.results.counts) if exported.results else None,
        "left": [],
        "records": context.stack.records(),
    }
