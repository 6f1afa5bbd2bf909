"""Preflight checks: a row each, with its fix."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.registry import promotion
from pneumoctl.stack.settings import Settings


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


def model(settings: Settings) -> Iterator[Row]:
    """Whether the model to serve is there and is what its manifest says."""
    try:
        name, directory = promotion.model_bundle(settings)
    except (PneumoError, ImportError) as error:
        fix = "set `model` to a bundle directory, or reinstall pneumoctl"
        yield Row("model", False, getattr(error, "message", str(error)), fix)
        return
    yield Row("model", True, f"{name} ({directory})")


def disk(directory: Path, minimum_mb: int) -> Iterator[Row]:
    """Whether there is room for a stack's directory, which may not exist yet, and whether it can be written."""
    folder = directory
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free // 2**20
    if not os.access(folder, os.W_OK):
        yield Row("writable", False, f"{folder} cannot be written", f"make {folder} yours, or set XDG_STATE_HOME")
    yield Row("disk", free >= minimum_mb, f"{free} MB free at {folder}", f"free {minimum_mb} MB at {folder}")
