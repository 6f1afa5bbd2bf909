"""Files written whole or not at all, trees with their digests, and what the package brings along."""

import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).parent


# Left out of every copied tree, and of its digest: what Python makes there, and weights (they travel as bundles).
NOT_COPIED = ("__pycache__", "pretrained")


@dataclass(frozen=True)
class Tree:
    """A folder here, and the sha256 of its sorted `sha256sum` listing."""

    source: str
    digest: str


def bundled(name: str) -> Path:
    """The folder `name` (templates, terraform) that we ship."""
    inside = _PACKAGE / "_bundle" / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def package(name: str) -> Path:
    """The source folder of a sibling package (model, webapp): code that is copied to hosts, not imported."""
    return _PACKAGE.parent / name


def tree(source: Path) -> Tree:
    """A folder here with the digest that plan.matches asks for on a host, what is not copied left out."""
    lines = []
    for file in source.rglob("*"):
        inside = file.relative_to(source)
        if file.is_file() and not set(NOT_COPIED) & set(inside.parts):
            lines.append((f"./{inside}".encode(), hashlib.sha256(file.read_bytes()).hexdigest().encode()))
    listing = b"".join(digest + b"  " + name + b"\n" for name, digest in sorted(lines))
    return Tree(str(source), hashlib.sha256(listing).hexdigest())


def give_to_owner(handle: int, folder: Path) -> None:
    """Give a file that root has just made to the owner of its folder."""
    if os.geteuid() == 0 and (owner := folder.stat().st_uid) != os.fstat(handle).st_uid:
        os.fchown(handle, owner, -1)


def write_atomically(path: Path, content: bytes, mode: int) -> None:
    """Write beside, sync, rename: a reader or a crash sees the old file or the new one, never a half."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _sweep(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            give_to_owner(file.fileno(), path.parent)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _sweep(path: Path) -> None:
    """Remove what a killed writer left beside `path`; the stack's lock makes us the only writer."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()


def sha256(path: Path) -> str:
    """Of a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hashed(paths: Iterable[Path], advance: Callable[[int], None]) -> list[tuple[str, int]]:
    """(sha256, bytes) of each file, read in parallel; `advance` is told the bytes. OSError if one cannot be read."""

    def one(path: Path) -> tuple[str, int]:
        digest = sha256(path)
        return digest, path.stat().st_size

    found = []
    with ThreadPoolExecutor() as pool:
        for digest, size in pool.map(one, paths):
            found.append((digest, size))
            advance(size)
    return found
