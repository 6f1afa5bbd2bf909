"""Atomic writes, digests of files and trees, and the folders that ship with the package. Standard library only.

This module is part of the program that runs on hosts (ssh.on_host), for trees and releases.
"""

import glob
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from pneumoctl.atomic import replace_file

_PACKAGE = Path(__file__).parent
# Left out of every copied tree and of its digest: Python's caches, and model weights (they travel as bundles).
NOT_COPIED = ("__pycache__", "pretrained")


class Tree(NamedTuple):  # not a dataclass: importing those takes a host longer than all the rest of this module
    """A folder on this machine and its digest (see tree_digest)."""

    source: str
    digest: str


def bundled(name: str) -> Path:
    """The folder `name` (templates, terraform) that ships with the package."""
    inside = _PACKAGE / "_bundle" / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def package(name: str) -> Path:
    """The source folder of a sibling package (model, webapp): code that is copied to hosts, not imported."""
    return _PACKAGE.parent / name


def tree(source: Path) -> Tree:
    """A folder with its digest."""
    return Tree(str(source), tree_digest(source))


def tree_digest(root: Path) -> str:
    """sha256 of the sorted `sha256sum` lines of a tree, without NOT_COPIED; compare plan.steps.tree_matches."""
    lines = []
    for file in root.rglob("*"):
        relative = file.relative_to(root)
        if file.is_file() and not set(NOT_COPIED) & set(relative.parts):
            lines.append((b"./" + os.fsencode(relative), sha256(file).encode()))
    return hashlib.sha256(b"".join(digest + b"  " + name + b"\n" for name, digest in sorted(lines))).hexdigest()


def release_digest(trees: Iterable[str]) -> str:
    """The name of a release of code, from the digests of its trees."""
    return hashlib.sha256("".join(trees).encode()).hexdigest()[:12]


def sha256(path: Path) -> str:
    """The digest of a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(paths: Iterable[Path], advance: Callable[[int], None]) -> list[tuple[str, int]]:
    """(sha256, size in bytes) of each file, read in parallel; `advance` is called with the size of each file read.

    Raises OSError if a file cannot be read.
    """
    from concurrent.futures import ThreadPoolExecutor  # not at the top: hosts load this module, and quickly

    def hash_one(path: Path) -> tuple[str, int]:
        digest = sha256(path)
        return digest, path.stat().st_size

    hashes = []
    with ThreadPoolExecutor() as pool:
        for digest, size in pool.map(hash_one, paths):
            hashes.append((digest, size))
            advance(size)
    return hashes


def give_to_owner(handle: int, folder: Path) -> None:
    """Give a file that root has just made to the owner of its folder."""
    if os.geteuid() == 0 and (owner := folder.stat().st_uid) != os.fstat(handle).st_uid:
        os.fchown(handle, owner, -1)


def make_private(folder: Path) -> None:
    """Make a folder, and each missing one above it, for the owner alone; mkdir's own `parents` opens them to others."""
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)


def write_atomically(path: Path, content: bytes, mode: int) -> None:
    """Replace a file of a stack's directory atomically; missing parent folders are created for the owner alone."""
    make_private(path.parent)
    remove_leftovers(path)
    owner = path.parent.stat().st_uid if os.geteuid() == 0 else -1  # root works for the owner of the folder
    replace_file(path, content, mode, owner=owner)


def remove_leftovers(path: Path) -> None:
    """Remove what an interrupted write left beside `path`; the stack's lock rules out another writer."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()
