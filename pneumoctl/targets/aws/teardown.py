"""`teardown` on aws: the GPU first, results out, everything destroyed, and the proof by tag that nothing remains."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pneumoctl.aws import leftovers, s3
from pneumoctl.aws.leftovers import BUCKET_ADDRESS, Remaining
from pneumoctl.errors import PneumoError
from pneumoctl.gpu import orphans
from pneumoctl.stack import audit, runs
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack, exports
from pneumoctl.targets.aws import context, provision
from pneumoctl.targets.aws.context import Site
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import Report
from pneumoctl.training import collect

EVERYTHING = ("",)  # all prefixes


def teardown(settings: "Settings", stack: "Stack", purge: bool, agreed: bool, dry_run: bool) -> Report:
    """Destroy the stack. Already gone is success; what is left in the end is named, and the exit code is 1."""
    with stack.locked("teardown"), audit.recorded(stack, "teardown", {"purge": purge, "yes": agreed}) as act:
        one = context.reach(settings, stack)
        orphans.start_alarm(one.aws)
        if not stack.exists and not leftovers.found(one.aws, settings.stack, one.bucket):
            _forget(stack)
            return _end(one, [], None, [])
        provision.prepare(one, context.standing(one), "nothing" if dry_run else "all")
        doomed = [resource.address for resource in one.terraform.resources()]
        lines = list(_described(one, doomed, purge))
        if dry_run:
            return Report(_document(one, doomed, None), lines)
        console.show(lines, stderr=True)
        _ask(one, doomed, agreed)
        act.arn = one.account.arn
        act.begin(audit.plan_digest(doomed))
        _end_runs(one)
        provision.rest(one, spare=False)  # before anything that may fail: a GPU that bills meanwhile is money lost
        exported = _bucket(one, purge)
        provision.destroy(one, doomed)
        act.changed = doomed
        left = _prove(one)
        if not left:
            _forget(stack)
    return _end(one, doomed, exported, left)


def _end_runs(one: "Site") -> None:
    """Runs that go on get their end and their receipt; what cannot be read of them hinders nothing."""
    opened, hosts = list["runs.Run"](), {host.id: host for host in one.aws.instances(one.settings.stack)}
    with suppress(PneumoError):
        opened = runs.list_open(one.stack)
    for run in opened:
        if run.instance in hosts and one.stack.hosts() is not None:
            console.note(f"run {run.id} ends here", "yellow")
            closed = collect.finalize_unattended(one.aws, one.stack, hosts[run.instance], run, "teardown")
            if closed.trouble is not None:
                raise closed.trouble


def _described(one: Site, doomed: list[str], purge: bool) -> Iterator[str]:
    """What is about to be destroyed, for a person."""
    if not doomed:
        return
    yield f"tear down stack {one.settings.stack} in {one.settings.region} (account {one.account.id})"
    for address in doomed:
        yield f"  - {address}"
    name = _owned(one)
    files = s3.objects(one.aws, name, EVERYTHING) if name else []
    if files:
        size = sum(file.size for file in files) / 1e6
        fate = "are deleted" if purge else "are exported first"
        yield f"  {len(files)} files ({size:.1f} MB) in bucket {name} {fate}"


def _ask(one: "Site", doomed: list[str], agreed: bool) -> None:
    name = one.settings.stack
    if doomed and not agreed and not console.ask_for(name, "Everything above is destroyed for good."):
        raise PneumoError("not agreed: nothing was destroyed", f"type {name} when asked, or give --yes")


def _owned(one: "Site") -> str:
    """The bucket that terraform made for this stack; empty if there is none. No other one is ever touched."""
    return next((known.id for known in one.terraform.resources() if known.address == BUCKET_ADDRESS), "")


def _bucket(one: "Site", purge: bool) -> Path | None:
    """All that is in it out, unless it is to perish; then emptied, for AWS deletes no other."""
    name = _owned(one)
    if not name:
        return None
    folder = exports() / f"{one.settings.stack}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    saved: set[s3.Object] = set()
    while not purge and (new := set(s3.objects(one.aws, name, EVERYTHING)) - saved):  # some may arrive meanwhile
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with console.progress("export", sum(file.size for file in new), "bytes") as advance:
            s3.download(one.aws, name, sorted(new, key=lambda file: file.key), folder, advance)
        saved |= new
        console.note(f"exported {len(saved)} files to {folder}")
    s3.empty(one.aws, name)
    return folder if saved else None


def _prove(one: "Site") -> "list[Remaining]":
    console.busy("asking AWS what is left")
    try:
        return leftovers.wait_until_gone(one.aws, one.settings.stack, one.bucket)
    finally:
        console.idle()


def _forget(stack: "Stack") -> None:
    """Renamed first: a kill in the middle leaves either a whole stack or one that is already gone."""
    shutil.rmtree(stack.removed, ignore_errors=True)
    if stack.exists:
        stack.directory.rename(stack.removed)
        shutil.rmtree(stack.removed)
    stack.lock.unlink(missing_ok=True)


def _end(one: Site, changed: list[str], exported: Path | None, left: list[Remaining]) -> Report:
    if left:
        named = ", ".join(f"{thing.kind} {thing.id}" for thing in left)
        kinds = [{"kind": thing.kind, "id": thing.id, "name": thing.name} for thing in left]
        raise PneumoError(f"something remains in AWS: {named}", "pneumoctl teardown", left=kinds)
    lines = [f"proof: asked by tag and name, AWS has nothing of the stack left in {one.settings.region}"]
    if exported:
        lines.insert(0, f"exported to {exported}")
    if not changed:
        lines.insert(0, f"nothing to do: there is no stack {one.settings.stack} in {one.settings.region}")
    return Report(_document(one, changed, exported), lines)


def _document(one: Site, changed: list[str], exported: Path | None) -> dict[str, Any]:
    return {"stack": one.settings.stack, "changed": changed, "exported": exported, "left": []}
