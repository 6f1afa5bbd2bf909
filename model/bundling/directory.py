"""The directory of a bundle, which appears only when the bundle is complete."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_directory(directory: Path, replace: bool) -> Iterator[Path]:
    """A directory to write into; at the end of the block it becomes `directory`, after an error it is removed.

    With `replace`, an earlier directory is removed after that; after an error it stays.
    Raises FileExistsError if `directory` is not empty, without `replace`.
    """
    if not replace and directory.exists() and any(directory.iterdir()):
        raise FileExistsError(f"{directory} already exists; give --replace, remove it, or name another directory")
    work, old = (directory.parent / f".{directory.name}.{name}" for name in ("part", "old"))
    shutil.rmtree(work, ignore_errors=True)  # from a killed export
    work.mkdir(parents=True)
    try:
        yield work
        if replace and directory.exists():
            shutil.rmtree(old, ignore_errors=True)
            directory.replace(old)
        work.replace(directory)
    except BaseException:
        if old.exists() and not directory.exists():
            old.replace(directory)
        shutil.rmtree(work, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)
