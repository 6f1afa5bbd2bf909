"""The operations that a request can name; a module is imported when the first request needs it."""

from __future__ import annotations

import importlib

from pneumoctl.ssh.on_host import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pneumoctl.ssh.on_host import Document
    from pneumoctl.ssh.on_host.streams import Trees

MODULES = {
    "lease": "leases",
    "release": "leases",
    "read": "files",
    "run": "commands",
    "probe": "steps",
    "act": "steps",
    "check_releases": "release_check",
}


def operation(name: str) -> Callable[[Document, Trees], Document]:
    """The function that answers requests of this name."""
    function: Callable[[Document, Trees], Document] = getattr(module(MODULES[name]), name)
    return function


def load(request: Document) -> None:
    """Import what a request needs, before its process is started: the modules then stay for later requests."""
    if request["op"] in MODULES:
        module(MODULES[request["op"]])
    step = request.get("step", {})
    if step.get("validate"):
        module("staged_files")
    copies = [action for action in step.get("actions", ()) if action["do"] == "copy"]
    if copies:
        module("trees")
    if any(action.get("url") for action in copies):
        module("download")


def module(name: str) -> Any:
    """A module of this package, imported when a request or a step needs it."""
    return importlib.import_module(f"{__package__}.{name}")
