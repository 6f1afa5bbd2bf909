"""Preflight checks: a row each, with its fix."""

from dataclasses import asdict, dataclass
from typing import Any

from pneumoctl.errors import Exit, PneumoError


@dataclass(frozen=True)
class Row:
    """One check: what was seen, and what to do if it is not good."""

    check: str
    good: bool
    seen: str
    fix: str = ""


def require(found: list[Row]) -> None:
    """PneumoError (exit 4) listing every failing row."""
    bad = [row for row in found if not row.good]
    if bad:
        raise PneumoError(
            "preflight failed: " + "; ".join(f"{row.check}: {row.seen}" for row in bad),
            "; ".join(dict.fromkeys(row.fix for row in bad)),
            Exit.PREFLIGHT,
            checks=as_dicts(found),
        )


def as_dicts(found: list[Row]) -> list[dict[str, Any]]:
    """JSON-ready rows."""
    return [asdict(row) for row in found]
