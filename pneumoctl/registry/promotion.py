"""The promoted model of a stack, which it serves unless another is named."""

import json
import shlex
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model import bundle as bundles
from pneumoctl.errors import Exit, PneumoError, in_words
from pneumoctl.files import write_atomically
from pneumoctl.registry import store
from pneumoctl.registry.store import Registered
from pneumoctl.stack import audit, ownership
from pneumoctl.stack.lock import held
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack, find


def locked(stack: Stack) -> AbstractContextManager[None]:
    """The lock of a promotion. It is not the stack's lock, which a training holds for hours."""
    ownership.require_writable(stack.directory)
    return held(_file(stack).with_suffix(".lock"), "model promote")


def promoted(stack: Stack) -> dict[str, Any] | None:
    """The promoted model, since when, by whom and why; None before the first promotion."""
    path = _file(stack)
    try:
        document = json.loads(path.read_text())
        return {**document, "model": str(document["model"])}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PneumoError(
            f"{path} is damaged: {in_words(error)}", f"rm {shlex.quote(str(path))}, then: pneumoctl model promote MODEL"
        ) from error


def promote(stack: Stack, model: Registered, reason: str, forced: bool, compared: Sequence[str]) -> dict[str, Any]:
    """Make this model the promoted one. The caller holds the lock `locked`."""
    document = {
        "model": model.id,
        "at": datetime.now(UTC).isoformat("T", "seconds"),
        "who": audit.current_user(),
        "forced": forced,
        "reason": reason,
        "compared": list(compared),
    }
    write_atomically(_file(stack), json.dumps(document, indent=2).encode(), 0o600)
    return document


def default(stack: Stack) -> str:
    """NAME-VERSION of the promoted model, else of the shipped one."""
    current = promoted(stack)
    return current["model"] if current else store.shipped().id


def bundle(stack: Stack) -> Path:
    """Directory of the promoted model, else of the shipped one."""
    current = promoted(stack)
    registered = current is not None and current["model"] in store.names()
    if current is None or (not registered and current["model"] == store.shipped().id):
        return bundles.pretrained()
    return store.get(current["model"], deep=False).directory


def _file(stack: Stack) -> Path:
    """The file lies beside the stack's directory, so that a stack that is created again serves the same model."""
    return stack.directory.with_name(f"{stack.name}.promoted.json")


def model_bundle(settings: Settings) -> tuple[str, Path]:
    """Name-version and directory of the bundle to serve: of the settings, else the promoted one, else the shipped one.

    Raises PneumoError if it is damaged.
    """
    try:
        named = Path(settings.model).expanduser().resolve() if settings.model else None
        directory = named or bundle(find(settings.stack))
        loaded = bundles.load(directory, deep=True)
    except bundles.BundleError as error:
        raise PneumoError(f"model bundle: {error}", "pneumoctl doctor", Exit.PREFLIGHT) from error
    except PneumoError as error:
        raise PneumoError(f"the promoted model: {error.message}", error.hint, Exit.PREFLIGHT) from error
    return f"{loaded.name}-{loaded.version}", directory
