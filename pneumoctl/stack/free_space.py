"""Whether a file or folder can be written where it should go, and the error if it cannot."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pneumoctl.errors import PneumoError
from pneumoctl.stack.stack import exports, home


class NotWritten(PneumoError):
    """A file or folder was not written; the message tells the free space, and the `size` that is needed, in bytes."""

    def __init__(self, target: Path, why: str, size: int = 0) -> None:
        folder = _nearest_folder(target)
        needed = f", about {_megabytes(size)} are needed" if size else ""
        with suppress(OSError):
            why = f"{why} ({_megabytes(shutil.disk_usage(folder).free)} are free in {folder}{needed})"
        hint = f"free space in {folder} or make it writable{_elsewhere(target)}; then run the same command again"
        super().__init__(f"{target} cannot be written: {why}", hint)


def require(target: Path, size: int) -> None:
    """Raise NotWritten unless `target` can be made and its disk has `size` bytes free. Changes nothing."""
    folder = _nearest_folder(target)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise NotWritten(target, f"{folder} is not a folder that you can write to", size)
    if shutil.disk_usage(folder).free < size:
        raise NotWritten(target, "there is not enough space", size)


@contextmanager
def no_empty_folders(target: Path) -> Iterator[None]:
    """If the block fails, remove the folders above `target` that it made and left empty."""
    missing = [folder for folder in target.parents if not folder.exists()]
    try:
        yield
    except BaseException:
        with suppress(OSError):  # not empty, or never made
            for folder in missing:
                folder.rmdir()
        raise


def _nearest_folder(target: Path) -> Path:
    """The nearest folder above the target that exists, or what stands in its place."""
    return next(parent for parent in target.parents if os.path.lexists(parent))


def _elsewhere(target: Path) -> str:
    """How to choose another place; empty for the directories of stacks, which cannot be elsewhere.

    An export of teardown is known by its last folders: the step of a local teardown runs without XDG_DATA_HOME.
    """
    if target.is_relative_to(home()):
        return ""
    base = exports().parts[-2:]
    if any(parent.parts[-len(base) :] == base for parent in target.parents):
        return ", or set XDG_DATA_HOME to another folder"
    return ", or name another path"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
