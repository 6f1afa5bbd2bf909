"""The result of a command: a document for programs, and its content as text and tables for people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 file`, `2 files`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def to_second(time: str) -> str:
    """A time in UTC of a document, such as 2026-03-31T08:00:00.123456Z, without fractions of a second."""
    return time[:19] + "Z"


@dataclass(frozen=True)
class Table:
    """A table; `styles` has one Rich style per row, or is empty."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    styles: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """The result of a command and its exit code."""

    document: Mapping[str, Any]
    blocks: Sequence[str | Table] = ()
    code: int = 0
