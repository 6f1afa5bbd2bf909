"""`pneumoctl model promote`: compare a model with those that serve, then make it the default model of the stack."""

from typing import Annotated, Any

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.registry import bucket_sync, gate, promotion, store
from pneumoctl.registry.store import Registered
from pneumoctl.stack import audit
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import context
from pneumoctl.targets.dispatch import target
from pneumoctl.terminal.console import console


def names(incomplete: str) -> list[str]:
    """The model names that the shell completes."""
    return [name for name in store.names() if name.startswith(incomplete)]


Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="Name and version of a model, or the beginning of it.", autocompletion=names),
]


@on_stack()
def promote(
    invocation: Invocation,
    name: Model,
    force: Annotated[
        bool, typer.Option("--force", help="Promote it although the gate refuses; needs --reason.")
    ] = False,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why you promote it; goes into the audit record.")
    ] = "",
) -> int:
    """Make a model the default of `deploy model` and `up`.

    `pneumoctl audit` shows who promoted what, and why.

    Its sensitivity, specificity and AUC are compared with those of the models that serve or are promoted, on the same
    pictures: those of a test that both have, or of `model evaluate`.

    Exit code 10: refused, because there are no such pictures, or a figure is below the 95 % interval of the other
    model, or its own interval begins below the floor (sensitivity and specificity 0.5, AUC 0.8).
    """
    if force and not reason.strip():
        raise PneumoError("--force needs a reason", "pneumoctl model promote MODEL --force --reason WHY", Exit.USAGE)
    settings, stack = invocation
    model = store.find(name)
    with promotion.locked(stack):
        promoted, (references, unknown) = promotion.promoted(stack), _references(invocation)
        if promoted and promoted["model"] == model.id:
            _promoted({**promoted, "changed": False}, settings, stack)
            return 0
        document = _gated_and_recorded(invocation, model, references, unknown, force, reason)
    _promoted({**document, "changed": True}, settings, stack)
    return 0


def _gated_and_recorded(
    invocation: Invocation,
    model: Registered,
    references: list[Registered],
    unknown: list[str],
    force: bool,
    reason: str,
) -> dict[str, Any]:
    """Apply the gate, then promote the model under an audit record; return the record of the promotion."""
    settings, stack = invocation
    compared, forced = _gated(model, references, unknown, force)
    options: dict[str, audit.Option] = {
        "model": model.id,
        "force": forced,
        "reason": reason,
        "compared": "; ".join(compared),
    }
    with audit.recorded(stack, "model promote", options) as act:
        act.begin()
        _to_bucket(settings, stack, model)
        document = promotion.promote(stack, model, reason, forced, compared)
        act.changed = [f"{model.id} is promoted"]
    return document


def serving(invocation: Invocation) -> set[str] | None:
    """The models that serve; None, with a warning, if the hosts cannot be reached."""
    try:
        return target(*invocation).served_models()
    except PneumoError as error:
        console.warn(f"which model serves is not known: {error.message}")
        return None


def _references(invocation: Invocation) -> tuple[list[Registered], list[str]]:
    """The models that serve, and the promoted one (else the shipped one); and why others cannot be compared with."""
    ours, served = store.shipped(), serving(invocation)
    references, unknown = [], [] if served is not None else ["which model serves is not known"]
    for name in sorted({promotion.default(invocation.stack), *(served or ())}):
        try:
            references.append(ours if name == ours.id else store.get(name, deep=False))
        except PneumoError as error:
            unknown.append(f"it cannot be compared with {name}: {error.message} ({error.hint})")
    return references, unknown


def _gated(model: Registered, references: list[Registered], unknown: list[str], force: bool) -> tuple[list[str], bool]:
    """Apply the gate: return the comparisons, and whether only --force let the model pass."""
    try:
        compared = [str(comparison) for comparison in gate.check(model, references, unknown)]
    except PneumoError as error:
        if not force:
            raise
        console.warn(f"{error.message}\nforced")
        return [error.message], True
    for line in compared:
        console.note(line)
    return compared, False


def _to_bucket(settings: Settings, stack: Stack, model: Registered) -> None:
    """Upload the model to the stack's bucket, if the stack is on aws."""
    if (cloud := stack.cloud()) is not None:
        aws, _ = context.login(settings, stack)
        bucket_sync.upload(aws, cloud.bucket, model)


def _promoted(document: dict[str, Any], settings: Settings, stack: Stack) -> None:
    if settings.model:
        console.warn(f"the setting model names {settings.model}: it takes precedence over the promoted model")
    console.result({"stack": stack.name, **document})
    console.text(f"{document['model']} is promoted" + ("" if document["changed"] else " already"))
    console.text("to serve it: pneumoctl " + ("deploy model" if stack.target == "aws" else "up"))
