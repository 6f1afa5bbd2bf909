"""The results of preflight checks: one row for each check, with a fix."""

from dataclasses import asdict, dataclass
from typing import Any

from pneumoctl.errors import Exit, PneumoError


@dataclass(frozen=True)
class Row:
    """The result of one check, and the fix if it failed."""

    check: str
    good: bool
    seen: str
    fix: str = ""


def require(rows: list[Row]) -> None:
    """Raise PneumoError (exit 4) if a check failed; the message lists every failed check."""
    bad = [row for row in rows if not row.good]
    if bad:
        raise PneumoError(
            "preflight failed: " + "; ".join(f"{row.check}: {row.seen}" for row in bad),
            "; ".join(dict.fromkeys(row.fix for row in bad)),
            Exit.PREFLIGHT,
            checks=as_dicts(rows),
        )


def as_dicts(rows: list[Row]) -> list[dict[str, Any]]:
    """The rows as JSON values."""
    return [asdict(row) for row in rows]
