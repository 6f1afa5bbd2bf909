"""Unified diffs between the files on a host and the planned ones; the contents of secrets are never shown."""

import difflib
from collections.abc import Iterable

from pneumoctl.plan.steps import Put, Step


def planned_files(steps: Iterable[Step]) -> list[Put]:
    """The files that the steps write, without the stamps."""
    return [action for step in steps for action in step.actions if isinstance(action, Put) and not action.stamp]


def difference(name: str, put: Put, current: str | None) -> list[str]:
    """The diff of one file, shown under `name`; empty if the file is as planned. `current`: None if it is missing."""
    if current == put.content:
        return []
    if put.secret:
        return [f"{name}: secret contents {'differ' if current is not None else 'are new'}"]
    old, new = (current or "").splitlines(), put.content.splitlines()
    return list(difflib.unified_diff(old, new, f"{name} (now)", f"{name} (planned)", lineterm=""))
