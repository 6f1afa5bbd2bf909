"""Read the JSON files of a stack: each value must have the type of its field, and damage is told from absence."""

import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pneumoctl import installation
from pneumoctl.errors import PneumoError
from pneumoctl.stack import ownership
from pneumoctl.terminal.console import console

Document = TypeVar("Document")
Parsed = TypeVar("Parsed")
_TYPES = {dict: "an object", list: "a list", str: "text", int: "a number", float: "a number", bool: "true or false"}
_TYPES[type(None)] = "null"


class Damaged(PneumoError):
    """A file of the stack was read, but its content is not valid."""


class Newer(PneumoError):
    """A newer pneumoctl wrote the file, and to write it again would lose a part of it."""

    def __init__(self, what: str, added: Sequence[str]) -> None:
        message = f"a newer pneumoctl wrote the stack's {what}: this one does not know {', '.join(added)}"
        super().__init__(message, installation.upgrade_command("pneumoctl"))


def load(path: Path, read: Callable[[Any], Document], hint: str = "") -> Document | None:
    """The document in a file, None if there is no file. Raises Damaged, or PneumoError if it cannot be read."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ownership.unreadable(path, error) from error
    try:
        if not content.strip(b"\0 \n"):
            raise ValueError("it is empty")
        return read(json.loads(content))
    except (ValueError, TypeError, RecursionError) as error:
        raise Damaged(f"{path} is damaged: {error}", hint or f"restore {path} from a backup") from error


def parse(kind: Callable[..., Parsed], document: Any) -> Parsed:
    """A dataclass from a JSON object; fields that a newer pneumoctl added are ignored.

    Raises TypeError for a missing field, or for a value that is not of the field's type.
    """
    if not isinstance(document, Mapping):
        raise TypeError(f"it holds {_TYPES[type(document)]}, not an object")
    hints = typing.get_type_hints(kind)
    known = {field.name: document[field.name] for field in fields(kind) if field.name in document}  # type: ignore[arg-type]
    for name, value in known.items():
        if not _has_type(value, hints[name]):
            raise TypeError(f"{name} is {_TYPES[type(value)]}: {str(value)[:40]!r}")
    required = [field.name for field in fields(kind) if field.default is field.default_factory is MISSING]  # type: ignore[arg-type]
    if missing := [name for name in required if name not in known]:
        raise TypeError(f"{', '.join(missing)} is missing")
    return kind(**known)


def unknown(kind: Callable[..., Any], document: Any) -> list[str]:
    """The fields of a JSON object that the dataclass does not have: a newer pneumoctl wrote them."""
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return [str(name) for name in document if name not in names] if isinstance(document, Mapping) else []


@cache
def warn_once(text: str) -> None:
    """Print a warning, once in a process: a file may be read many times."""
    console.warn(text)


def _has_type(value: Any, hint: Any) -> bool:
    """Whether a JSON value has the type of an annotation, as the dataclasses of a stack's files use them."""
    origin, of = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_has_type(value, each) for each in of)
    if origin in (list, tuple):
        return isinstance(value, list | tuple) and all(_has_type(each, of[0]) for each in value)
    if origin in (dict, Mapping):
        return isinstance(value, dict) and all(_has_type(each, of[1]) for each in value.values())
    if hint in (int, float):
        return type(value) is int or (hint is float and type(value) is float)
    return isinstance(value, types.NoneType if hint is None else hint)
