"""`pneumoctl model promote`: compare the sensitivity of a model, then make it the default model of the stack."""

from typing import Annotated, Any

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.registry import bucket_sync, promotion, store
from pneumoctl.registry.store import Registered
from pneumoctl.stack import audit
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import context
from pneumoctl.targets.dispatch import target
from pneumoctl.terminal.console import console


def _names(incomplete: str) -> list[str]:
    """The model names that the shell completes."""
    return [name for name in store.names() if name.startswith(incomplete)]


Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="Name and version of a model, or the beginning of it.", autocompletion=_names),
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

    Exit code 10: refused, because its sensitivity is not known, or is below the 95 % interval of the model that serves
    or is promoted.
    """
    if force and not reason.strip():
        raise PneumoError("--force needs a reason", "pneumoctl model promote MODEL --force --reason WHY", Exit.USAGE)
    settings, stack = invocation
    model = store.find(name)
    with promotion.locked(stack):
        promoted, references = promotion.promoted(stack), _references(invocation)
        if promoted and promoted["model"] == model.id:
            _promoted({**promoted, "changed": False}, settings, stack)
            return 0
        compared, forced = _gated(model, references, force)
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
    _promoted({**document, "changed": True}, settings, stack)
    return 0


def serving(invocation: Invocation) -> set[str] | None:
    """The models that serve; None, with a warning, if the hosts cannot be reached."""
    try:
        return target(*invocation).served_models()
    except PneumoError as error:
        console.warn(f"which model serves is not known: {error.message}")
        return None


def _references(invocation: Invocation) -> list[Registered]:
    """The models that a candidate is compared with: those that serve, and the promoted one (else the shipped one)."""
    ours, promoted_model = store.shipped(), promotion.promoted(invocation.stack)
    wanted = {promoted_model["model"] if promoted_model else ours.id, *(serving(invocation) or ())}
    references = []
    for name in sorted(wanted):
        try:
            references.append(ours if name == ours.id else store.get(name, deep=False))
        except PneumoError as error:
            console.warn(f"not compared with {name}: {error.message}")
    return references


def _gated(model: Registered, references: list[Registered], force: bool) -> tuple[list[str], bool]:
    """Apply the gate: return the comparisons, and whether only --force let the model pass."""
    try:
        compared = [str(reference) for reference in promotion.gate(model, references)]
    except PneumoError as error:
        if not force:
            raise
        console.warn(f"{error.message}: forced")
        return [error.message], True
    if not compared and any(reference.id != model.id for reference in references):
        console.warn("not compared: no sensitivity is known of the models that serve or are promoted")
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
