"""Whose a file or folder of the state is: root must not take those of another user from it."""

import os
import pwd
from pathlib import Path

from pneumoctl.errors import Exit, PneumoError


def name(uid: int) -> str:
    """The user's name, or its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def refuse_root(folder: Path) -> None:
    """PneumoError if root would write into the folder of somebody else, who could not read it afterwards."""
    if os.geteuid() != 0:
        return
    nearest = next(one for one in (folder, *folder.parents) if one.exists())
    owner = nearest.stat().st_uid
    if owner != 0:
        raise PneumoError(
            f"{nearest} belongs to {name(owner)}, and this is root",
            f"run the same command as {name(owner)}, without sudo; for a stack of root's: set XDG_STATE_HOME",
            Exit.USAGE,
        )


def unreadable(path: Path, error: OSError) -> PneumoError:
    """The error for a file that is there and may not be read, or cannot be: nothing says that it is damaged."""
    try:
        owner = path.stat().st_uid
    except OSError:
        owner = path.parent.stat().st_uid if os.access(path.parent.parent, os.X_OK) else os.geteuid()
    hint = f"look after {path.parent}, then again"
    if isinstance(error, PermissionError) and owner != os.geteuid():
        mine = name(os.geteuid())
        hint = f"{path.name} belongs to {name(owner)}; to have the stack back: sudo chown -R {mine} {path.parent}"
    return PneumoError(f"{path} cannot be read: {error.strerror}", hint)
