"""`pneumoctl deploy` and `pneumoctl rollback`: releases of the API, the web page and the model, one host at a time."""

import os
from pathlib import Path
from typing import Annotated

import typer

from pneumoctl.cli.options import Config, DryRun, Json, NoColor, OfflineBundle, Quiet, StackName, Yes, resolved
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import orphans
from pneumoctl.hosts import releases
from pneumoctl.stack import audit
from pneumoctl.stack import settings as settings_
from pneumoctl.stack.stack import choose
from pneumoctl.targets.aws import change, context
from pneumoctl.terminal.console import console

KINDS = ("api", "web", "model")
Kind = Annotated[str, typer.Argument(help="api, web or model.", autocompletion=lambda: list(KINDS))]


def deploy(
    kind: Kind,
    source: Annotated[Path | None, typer.Option(help="Checkout to take the code from; this one if left out.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="Directory of the model bundle (kind model).")] = None,
    offline_bundle: OfflineBundle = None,
    stack: StackName = None,
    config: Config = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> int:
    """Bring a new release to the hosts of a stack on aws and let it serve.

    It is judged beside the one that serves (its known picture must score in its band), then each host in turn is
    switched and asked. No request is dropped. Exit 10: it failed, and the previous release serves.
    """
    flags = {"stack": stack, "model": resolved(bundle), "offline_bundle": resolved(offline_bundle)}
    return _change(kind, flags, config, yes, dry_run, source, f"deploy {kind}", back=False)


def rollback(
    kind: Kind,
    stack: StackName = None,
    config: Config = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> int:
    """Let the release serve again that served before; nothing is copied.

    A second rollback goes forth again.
    """
    return _change(kind, {"stack": stack}, config, yes, dry_run, None, f"rollback {kind}", back=True)


def _change(
    kind: str,
    flags: dict[str, str | None],
    config: Path | None,
    agreed: bool,
    dry_run: bool,
    source: Path | None,
    verb: str,
    back: bool,
) -> int:
    if kind not in KINDS:
        raise PneumoError(
            f"no kind of release {kind!r}; there are: {', '.join(KINDS)}",
            f"pneumoctl {verb.split()[0]} api",
            Exit.USAGE,
        )
    settings, place = choose(settings_.load(flags, config, os.environ))
    context.require(place)
    orphans.mind(place)
    task = change.Task(
        verb, () if back else (kind,), kind if back else "", part=lambda one: releases.plan(one, kind), source=source
    )
    with place.locked(verb):
        if dry_run:
            lines, differences, _ = change.preview(settings, place, task)
            for line in (*lines, *differences):
                console.text(line)
            console.result({"stack": place.name, "plan": lines, "differences": differences})
            return 0
        with audit.kept(place, verb, {"yes": agreed}) as act:
            document = change.change(settings, place, task, agreed, act)
    console.result(document)
    change.tell(document, "that release serves already")
    return 0
