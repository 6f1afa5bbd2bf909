"""The export that a teardown made after it stopped uploads: it holds all results until uploads are possible again."""

import json
from pathlib import Path

from pneumoctl.stack.stack import Stack

FILE = "final-export.json"


def save(stack: Stack, export: Path | None) -> None:
    """Record that uploads are stopped, and that `export` holds all results; None: nothing was ever stored."""
    stack.write(FILE, {"export": str(export) if export else None})


def holds_all(stack: Stack) -> bool:
    """Whether nothing can have been stored since the export before a teardown, and that export still exists."""
    try:
        path = json.loads((stack.directory / FILE).read_text())["export"]
        return path is None or Path(path).exists()
    except (OSError, ValueError, KeyError, TypeError):
        return False


def path(stack: Stack) -> Path | None:
    """The export before a teardown, if it `holds_all`; None also if nothing was ever stored."""
    saved = json.loads((stack.directory / FILE).read_text())["export"] if holds_all(stack) else None
    return Path(saved) if saved else None


def forget(stack: Stack) -> None:
    """Record that uploads are possible again."""
    (stack.directory / FILE).unlink(missing_ok=True)
