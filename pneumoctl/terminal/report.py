"""What a command answers: one document for a program, and the same as text and tables for a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """A table; `styles`: one Rich style a row, none if empty."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    styles: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """The answer of a command and its exit code."""

    document: Mapping[str, Any]
    blocks: Sequence[str | Table] = ()
    code: int = 0
