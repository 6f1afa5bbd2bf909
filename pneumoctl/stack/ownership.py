"""The owner of a stack's files: root must not create files that another user's pneumoctl could not read."""

import os
import pwd
from pathlib import Path

from pneumoctl.errors import Exit, PneumoError


def name(uid: int) -> str:
    """The name of a user, or its id if it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def refuse_root(folder: Path) -> None:
    """Raise PneumoError if root would write into another user's folder: that user could not read the files."""
    if os.geteuid() != 0:
        return
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    owner = nearest.stat().st_uid
    if owner != 0:
        raise PneumoError(
            f"{nearest} belongs to {name(owner)} and not to root, who runs this command",
            f"run the same command as {name(owner)}, without sudo; for a stack of root: set XDG_STATE_HOME",
            Exit.USAGE,
        )


def unreadable(path: Path, error: OSError) -> PneumoError:
    """The error for a file that exists and cannot be read. It is not called damaged: its content is unknown."""
    try:
        owner = path.stat().st_uid
    except OSError:
        owner = path.parent.stat().st_uid if os.access(path.parent.parent, os.X_OK) else os.geteuid()
    hint = f"check {path.parent}, then run the same command again"
    if isinstance(error, PermissionError) and owner != os.geteuid():
        mine = name(os.geteuid())
        hint = f"{path.name} belongs to {name(owner)}; to take the stack over: sudo chown -R {mine} {path.parent}"
    return PneumoError(f"{path} cannot be read: {error.strerror}", hint)
