"""Preflight checks of both targets: the model to serve, and disk space for the stack's directory."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from pneumoctl.errors import PneumoError
from pneumoctl.registry import promotion
from pneumoctl.stack import ownership
from pneumoctl.stack.settings import Settings
from pneumoctl.targets.common.checks import Row


def model(settings: Settings) -> Iterator[Row]:
    """Whether the model to serve exists and matches its manifest."""
    try:
        name, directory = promotion.model_bundle(settings)
    except (PneumoError, ImportError) as error:
        fix = "set `model` to a bundle directory, or reinstall pneumoctl"
        yield Row("model", False, getattr(error, "message", str(error)), fix)
        return
    yield Row("model", True, f"{name} ({directory})")


def disk(directory: Path, minimum_mb: int) -> Iterator[Row]:
    """Whether the stack's directory, which may not exist yet, can be written and has enough disk space."""
    try:
        ownership.require_writable(directory)
    except PneumoError as error:
        yield Row("writable", False, error.message, error.hint)
    folder = directory
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free // 2**20
    yield Row("disk", free >= minimum_mb, f"{free} MB free at {folder}", f"free {minimum_mb} MB at {folder}")
