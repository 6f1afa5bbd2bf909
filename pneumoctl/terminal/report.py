"""The result of a command: one document for a program, and the same as text and tables for a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """A table; `styles` holds one Rich style a row, or is empty."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    styles: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """The result of a command and its exit code."""

    document: Mapping[str, Any]
    blocks: Sequence[str | Table] = ()
    code: int = 0
