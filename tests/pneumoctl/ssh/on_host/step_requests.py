"""Requests of steps and leases, as the agent gets them."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pneumoctl.ssh.on_host import leases

GROUP = __import__("grp").getgrgid(os.getgid()).gr_name
Act = Callable[..., dict[str, Any]]
NO_TREES = io.BytesIO()


def taken(holder: str, token: int | None = None, seconds: float = 30) -> dict[str, Any]:
    request = {"holder": holder, "who": f"{holder}@here", "token": token, "seconds": seconds}
    return leases.lease(request, NO_TREES)


def document(**step: Any) -> dict[str, Any]:
    """A step as the agent gets it."""
    title = step.get("title", "a step")
    return {
        "id": title,
        "title": title,
        "check": False,
        "done_if": [],
        "validate": [],
        "verify": [],
        "actions": [],
        **step,
    }


def put(path: Path, text: str, mode: int = 0o644) -> dict[str, Any]:
    return {"do": "put", "path": str(path), "text": text, "mode": mode, "group": GROUP}


def run(*argv: str, timeout: float = 10) -> dict[str, Any]:
    return {"do": "run", "argv": list(argv), "timeout": timeout, "title": ""}
