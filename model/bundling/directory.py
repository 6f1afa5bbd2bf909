"""The directory of a bundle, which appears only when the bundle is complete."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_directory(directory: Path, replace: bool) -> Iterator[Path]:
    """A directory to write into; at the end of the block it becomes `directory`, after an error it is removed.

    Raises FileExistsError if `directory` is not empty, without `replace`.
    """
    if not replace and directory.exists() and any(directory.iterdir()):
        raise FileExistsError(f"{directory} already exists; give --replace, remove it, or name another directory")
    work = directory.parent / f".{directory.name}.part"
    shutil.rmtree(work, ignore_errors=True)  # from a killed export
    work.mkdir(parents=True)
    try:
        yield work
        if replace:
            shutil.rmtree(directory, ignore_errors=True)
        work.replace(directory)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
