"""`pneumoctl model promote`: a model goes through the gate on sensitivity and becomes the one that the stack takes."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from pneumoctl.cli.options import Config, Json, NoColor, Quiet, StackName
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.registry import bucket_sync, promotion, store
from pneumoctl.registry.store import Registered
from pneumoctl.stack import audit
from pneumoctl.stack import settings as settings_
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack, choose
from pneumoctl.targets import dispatch
from pneumoctl.targets.aws import context
from pneumoctl.terminal.console import console


def _names(incomplete: str) -> list[str]:
    """For the shell's completion."""
    return [name for name in store.names() if name.startswith(incomplete)]


Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="Name and version, or its beginning.", autocompletion=_names)
]


def promote(
    name: Model,
    force: Annotated[bool, typer.Option("--force", help="Although the gate refuses; needs --reason.")] = False,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept in the record.")] = "",
    stack: StackName = None,
    config: Config = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> int:
    """Make a model the one that `deploy model` and `up` bring when none is named.

    Exit 10: refused, because its sensitivity lies below the 95 % interval of what serves or is promoted, or is not
    known. Who promoted what, and why, is in `pneumoctl audit`.
    """
    if force and not reason.strip():
        raise PneumoError("--force needs a reason", "pneumoctl model promote MODEL --force --reason WHY", Exit.USAGE)
    settings, place = chosen(stack, config)
    found = store.find(name)
    with promotion.locked(place):
        known, references = promotion.promoted(place), _references(place)
        if known and known["model"] == found.id:
            _promoted({**known, "changed": False}, settings, place)
            return 0
        compared, forced = _gated(found, references, force)
        told = "; ".join(compared)
        options: dict[str, audit.Option] = {"model": found.id, "force": forced, "reason": reason, "compared": told}
        with audit.kept(place, "model promote", options) as act:
            act.begin()
            _to_bucket(settings, place, found)
            document = promotion.promote(place, found, reason, forced, compared)
            act.changed = [f"{found.id} is promoted"]
    _promoted({**document, "changed": True}, settings, place)
    return 0


def chosen(name: str | None, config: Path | None) -> "tuple[Settings, Stack]":
    """The settings and the stack that they name."""
    return choose(settings_.load({"stack": name}, config, os.environ))


def serving(place: "Stack") -> set[str] | None:
    """The models that serve; None, with a warning, where the hosts cannot be asked."""
    try:
        return dispatch.serving(place)
    except PneumoError as error:
        console.warn(f"which model serves is not known: {error.message}")
        return None


def _references(place: "Stack") -> "list[Registered]":
    """What a candidate is held against: what serves, and what is promoted, or shipped where nothing is."""
    ours, known = store.shipped(), promotion.promoted(place)
    wanted = {known["model"] if known else ours.id, *(serving(place) or ())}
    found = []
    for name in sorted(wanted):
        try:
            found.append(ours if name == ours.id else store.get(name, deep=False))
        except PneumoError as error:
            console.warn(f"not compared with {name}: {error.message}")
    return found


def _gated(found: "Registered", references: "list[Registered]", force: bool) -> tuple[list[str], bool]:
    """What was compared, and whether it took force."""
    try:
        compared = [str(one) for one in promotion.gate(found, references)]
    except PneumoError as error:
        if not force:
            raise
        console.warn(f"{error.message}: forced")
        return [error.message], True
    if not compared and any(one.id != found.id for one in references):
        console.warn("not compared: of what serves or is promoted no sensitivity is known")
    for line in compared:
        console.note(line)
    return compared, False


def _to_bucket(settings: "Settings", place: "Stack", found: "Registered") -> None:
    """A stack on aws has its models in its bucket, too."""
    if (cloud := place.cloud()) is not None:
        bucket_sync.upload(context.login(settings, place)[0], cloud.bucket, found)


def _promoted(document: dict[str, Any], settings: "Settings", place: "Stack") -> None:
    if settings.model:
        console.warn(f"the setting model names {settings.model}: that is taken as long as it is set")
    console.result({"stack": place.name, **document})
    console.text(f"{document['model']} is promoted" + ("" if document["changed"] else " already"))
    console.text("let it serve: pneumoctl " + ("deploy model" if place.target == "aws" else "up"))
