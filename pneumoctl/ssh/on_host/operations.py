"""The operations by name; a module is imported when a request needs it."""

from __future__ import annotations

import importlib

from pneumoctl.ssh.on_host import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MODULES = {
    "lease": "leases",
    "release": "leases",
    "read": "files",
    "run": "commands",
    "probe": "steps",
    "act": "steps",
    "validate": "staged_files",
    "copy": "trees",
    "check_releases": "release_check",
}


def operation(name: str) -> Callable[..., Any]:
    """The function of this name."""
    function: Callable[..., Any] = getattr(importlib.import_module(f"{__package__}.{MODULES[name]}"), name)
    return function
