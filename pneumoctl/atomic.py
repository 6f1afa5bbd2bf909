"""Replace files and links atomically; every host imports this, so it imports neither pathlib nor tempfile."""

from __future__ import annotations

import contextlib
import os


def replace_file(path: str | os.PathLike[str], content: bytes, mode: int, owner: int = -1, group: int = -1) -> None:
    """Write to a temporary file, sync, rename: a reader or a crash sees the old file or the new one."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            if (owner, group) != (-1, -1):
                os.fchown(file.fileno(), owner, group)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def replace_link(path: str | os.PathLike[str], target: str) -> None:
    """Point a symbolic link at a target atomically, whatever an interrupted attempt left behind."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.new")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, path)
