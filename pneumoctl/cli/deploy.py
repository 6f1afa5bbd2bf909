"""`pneumoctl deploy` and `pneumoctl rollback`: change the release of the API, web page or model, batch by batch."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.cli.options import DryRun, Yes
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.hosts import releases
from pneumoctl.stack import audit
from pneumoctl.targets.aws.configuration import change, preview
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import Report

KINDS = ("api", "web", "model")
Kind = Annotated[str, typer.Argument(metavar="KIND", help="api, web or model.", autocompletion=lambda: list(KINDS))]


@on_stack("offline_bundle", "batch")
def deploy(
    invocation: Invocation,
    kind: Kind,
    source: Annotated[
        Path | None,
        typer.Option(
            "--source", metavar="DIR", help="Checkout to deploy (default: the code of the installed pneumoctl)."
        ),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", metavar="DIR", help="Directory of the model bundle (kind model).")
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> int:
    """Deploy a release of the API, the web page or the model (aws).

    The new release starts beside the one that serves and must score a known picture correctly. Then the hosts are
    switched and checked batch by batch: one by one, or 10 % of them at a time, or as --batch says. A batch that fails
    is the last one; the hosts after it are left as they are. No request is dropped.

    Exit code 10: the new release failed, and the previous one serves.
    """
    if bundle:
        settings = replace(invocation.settings, model=str(bundle.expanduser().resolve()))
        invocation = invocation._replace(settings=settings)
    return _change(invocation, kind, yes, dry_run, source, f"deploy {kind}", rollback=False)


@on_stack("batch")
def rollback(invocation: Invocation, kind: Kind, yes: Yes = False, dry_run: DryRun = False) -> int:
    """Return to the previous release (aws).

    An interrupted rollback resumes when you run it again. After a complete one, another rollback returns to the newer
    release.

    Exit code 10: the earlier release failed, and the one before the rollback serves.
    """
    return _change(invocation, kind, yes, dry_run, None, f"rollback {kind}", rollback=True)


def _change(
    invocation: Invocation,
    kind: str,
    agreed: bool,
    dry_run: bool,
    source: Path | None,
    verb: str,
    rollback: bool,
) -> int:
    if kind not in KINDS:
        raise PneumoError(
            f"unknown kind of release {kind!r}; choose one of: {', '.join(KINDS)}",
            f"pneumoctl {verb.split()[0]} api",
            Exit.USAGE,
        )
    settings, stack = invocation
    stack.require_aws("`up` deploys this version of the code", "pneumoctl up")
    task = change.Task(
        verb,
        () if rollback else (kind,),
        kind if rollback else "",
        plan=lambda desired: releases.plan(desired, kind),
        source=source,
    )
    if dry_run:
        shown = preview.preview(settings, stack, task)
        code = Exit.FAILED if shown.unknown else Exit.DONE
        document = {"stack": stack.name, "plan": list(shown.steps), **shown.document()}
        return console.report(Report(document, shown.lines, code))
    with stack.locked(verb), audit.recorded(stack, verb, {"yes": agreed}) as act:
        document = change.change(settings, stack, task, agreed, act)
    return console.report(Report(document, change.lines(document, "this release is served already")))
