"""Who may use which files: root must not create files that another user's pneumoctl could not read."""

import errno
import os
import pwd
import shlex
from pathlib import Path

from pneumoctl.errors import Exit, PneumoError


def name(uid: int) -> str:
    """The name of a user, or its id if it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def require_writable(folder: Path) -> None:
    """Raise PneumoError if this user cannot write into the folder, which may not exist yet.

    Root must not write into another user's folder: that user could not read the files.
    """
    nearest = _nearest(folder)
    owner = nearest.stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        raise PneumoError(
            f"{nearest} belongs to {name(owner)} and not to root, who runs this command",
            f"run the same command as {name(owner)}, without sudo; for a stack of root: set XDG_STATE_HOME",
            Exit.USAGE,
        )
    if not nearest.is_dir():
        raise unusable(folder, os.strerror(errno.ENOTDIR))
    if not os.access(nearest, os.W_OK | os.X_OK, effective_ids=True):
        raise unusable(folder, "it is not writable")


def close_to_others(folder: Path) -> None:
    """Close this user's own folder to all others; earlier versions left that of a stack on aws open."""
    if folder.is_dir() and (found := folder.stat()).st_mode & 0o077 and found.st_uid == os.geteuid():
        folder.chmod(0o700)


def unusable(path: Path, reason: str) -> PneumoError:
    """The error for a path that this user cannot reach, read or write: it names the nearest part that exists."""
    nearest = _nearest(path)
    owner, me = nearest.stat().st_uid, os.geteuid()
    whose = "" if owner == me else f" (it belongs to {name(owner)})"
    hint = "use another folder; pneumoctl keeps its files under HOME, XDG_STATE_HOME and XDG_DATA_HOME"
    return PneumoError(f"{nearest}{whose} cannot be used by {name(me)}: {reason}", hint)


def unreadable(path: Path, error: OSError) -> PneumoError:
    """The error for a file of a stack that cannot be read. It is not called damaged: its content is unknown."""
    if _nearest(path) != path:
        return unusable(path, str(error.strerror))
    owner, me = path.stat().st_uid, os.geteuid()
    hint = f"check {path}, then run the same command again"
    if isinstance(error, PermissionError) and owner != me:
        hint = f"{path.name} belongs to {name(owner)}; to take the stack over: sudo chown -R {name(me)} "
        hint += shlex.quote(str(path.parent))
    return PneumoError(f"{path} cannot be read: {error.strerror}", hint)


def _nearest(path: Path) -> Path:
    """The path itself, or the nearest folder above it that this user can see."""
    return next(candidate for candidate in (path, *path.parents) if os.access(candidate, os.F_OK, effective_ids=True))
