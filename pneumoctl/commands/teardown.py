"""`pneumoctl teardown`: results out, everything ended, proof that nothing remains."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pneumoctl.options import Config, DryRun, Json, NoColor, Quiet, StackName, Target, Yes


def teardown(
    stack: StackName = None,
    config: Config = None,
    target: Target = None,
    purge: Annotated[bool, typer.Option("--purge", help="Do not export results and models first.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> int:
    """End the stack; prove that nothing remains.

    Results and model bundles are exported first, unless --purge. Safe to repeat.
    """
    from pneumoctl import settings as settings_
    from pneumoctl.console import console
    from pneumoctl.plan import describe
    from pneumoctl.stack import find

    settings = settings_.load({"stack": stack, "target": target}, config, os.environ)
    place = find(settings.stack)
    with place.locked("teardown"):
        prepared = prepare(place, purge)
        if dry_run:
            todo = prepared.changes()
            for line in describe(prepared.plan, lambda step: step in todo):
                console.text(line)
            console.result({"stack": place.name, "changes": [step.title for step in todo]})
            return 0
        return _act(prepared, yes)


def prepare(place: Any, purge: bool) -> Any:
    """The plan for a stack as it is now. Changes nothing."""
    from pneumoctl import inventory
    from pneumoctl.apply import reach
    from pneumoctl.commands.plan import Prepared
    from pneumoctl.plans import teardown as plans

    ports = _unless_damaged(place.ports, purge)
    given = ports.given if ports else {}
    wishes = plans.Wishes(
        name=place.name,
        layout=place.layout,
        python=sys.executable,
        ports=tuple(given.values()),
        export=None if purge else _export_folder(place),
        has_results=_any(place.layout.redis_data) and place.layout.config("env/api.env").exists(),
        has_models=_any(place.layout.models),
    )
    hosts = reach(place, inventory.local(given or dict.fromkeys(("redis", "api", "ui"), 0)))
    return Prepared(place, wishes, ports, plans.plan(wishes), hosts)


def _unless_damaged(read: Any, purge: bool) -> Any:
    """What `read` returns; with --purge a damaged file is no obstacle, it goes with the rest."""
    from pneumoctl.errors import PneumoError

    try:
        return read()
    except PneumoError:
        if not purge:
            raise
        return None


def _any(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _export_folder(place: Any) -> Path:
    """A new folder for every try: what an earlier one wrote is never touched."""
    from pneumoctl.stack import exports

    return exports() / f"{place.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def _act(prepared: Any, agreed: bool) -> int:
    from pneumoctl import processes
    from pneumoctl.apply import apply, log_to
    from pneumoctl.console import console
    from pneumoctl.errors import PneumoError
    from pneumoctl.execute import StepFailed
    from pneumoctl.journal import Journal

    place, wishes = prepared.stack, prepared.wishes
    secrets = _unless_damaged(place.secrets, wishes.export is None)

    def begin() -> None:
        if place.exists:
            log_to(place, secrets.values() if secrets else ())

    try:
        applied = apply(
            prepared.plan, prepared.hosts, Journal(place.directory / "journal.jsonl", "teardown"), agreed, begin
        )
    except StepFailed as error:
        hint = "pneumoctl logs, then: pneumoctl teardown (or, losing the results: pneumoctl teardown --purge)"
        raise PneumoError(error.message, hint, error.code, **error.details) from error
    left = processes.remains(place.directory, wishes.ports) + [str(place.directory)] * place.exists
    if left:
        raise PneumoError(f"something remains: {', '.join(left)}", "pneumoctl teardown", left=left)
    exported = str(wishes.export) if wishes.export and wishes.export.exists() else None
    console.result({"stack": place.name, "changed": list(applied.changed), "exported": exported, "left": left})
    if not applied.changed:
        console.text(f"nothing to do: there is no stack {place.name}")
    elif exported:
        console.text(f"exported to {exported}")
    console.text("proof: no process, no port and no file of the stack remains")
    return 0
