"""Exports as a file (tar) or a folder: verified by the manifest, appear only when complete, never replace another."""

import hashlib
import json
import os
import shlex
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from model.files import flush, flush_directory
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import make_private, sha256
from pneumoctl.stack.stack import exports

FORMAT = 1
# As webapp/api/export.py names them.
MANIFEST, SEALED, TRAIL = "manifest.json", "sealed.jsonl", "trail.jsonl"
PICTURES, FILMS = "images/", "films/"
TAR = ".tar"
_OTHER_ARCHIVES = (".7z", ".bz2", ".gz", ".tar", ".tbz2", ".tgz", ".txz", ".xz", ".zip", ".zst")
ANOTHER = "use another export, or make a new one: pneumoctl results export PATH"


@dataclass(frozen=True)
class Manifest:
    """What an export holds. `contents`: the digest of what the store held.

    `keys`: id of each MAC key -> how many results it is needed for, because it sealed the result or a review of it; 0:
    it sealed entries of the trail of clinical acts only. `trail`: the hash of the last entry of that trail.
    """

    counts: Mapping[str, int]
    contents: str
    keys: Mapping[str, int]
    files: Mapping[str, tuple[str, int]]  # name -> (sha256, size in bytes)
    trail: str = ""


def partial(target: Path) -> Path:
    """The file that an export is written to, beside its target."""
    return target.with_name(f".{target.name}.partial")


def prepare(target: Path) -> Path:
    """Make the folder of the target, and remove what a killed export left; returns the file to write to."""
    require_new(target)
    make_private(target.parent)
    for path in leftovers(target):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return partial(target)


def require_new(target: Path) -> None:
    """Raise PneumoError (usage) unless this is the name of a file or folder that an export can make."""
    if target.suffix != TAR and target.suffix.lower() in _OTHER_ARCHIVES:
        message = f"{target.name} is the name of another kind of archive: an export is a .tar file or a folder"
        raise PneumoError(message, "name a file that ends with .tar, or a folder", Exit.USAGE)
    if target.exists() or target.is_symlink():
        raise PneumoError(f"{target} exists already", "name another file or folder", Exit.USAGE)


def leftovers(target: Path) -> tuple[Path, ...]:
    """What a killed export leaves beside its target."""
    return partial(target), _folder(target)


def finish(target: Path) -> Manifest:
    """Verify what was written and give it its name; returns what it holds. Raises PneumoError and removes it."""
    spool, folder = partial(target), _folder(target)
    try:
        manifest = _verify_tar(spool)
        if target.suffix == TAR:
            spool.rename(target)
        else:
            _unpack(spool, folder)
            verify(folder)
            folder.rename(target)
        flush_directory(target.parent)
        return manifest
    finally:
        spool.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def _folder(target: Path) -> Path:
    return target.with_name(f".{target.name}.folder")


def verify(path: Path) -> Manifest:
    """Read every file of an export back and compare its digest; returns what it holds. Raises PneumoError."""
    if not path.exists():
        hint = f"give the path of an export (those of teardown are in {exports()}): pneumoctl results import PATH"
        raise PneumoError(f"there is no file or folder {path}", hint, Exit.USAGE)
    if inside := _export_inside(path):
        hint = f"did you mean: pneumoctl results import {shlex.quote(str(inside))}"
        raise PneumoError(f"{path} is not an export, but holds one: {inside}", hint, Exit.USAGE)
    if path.is_file():
        return _verify_tar(path)
    try:
        manifest = _parse((path / MANIFEST).read_bytes())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unusable(path, f"its {MANIFEST} is missing or damaged") from error
    for name, (digest, _) in manifest.files.items():
        file = path / _safe(name, path)
        if not file.is_file() or sha256(file) != digest:
            raise _unusable(path, f"{_kind(name)} is missing or damaged")
    return manifest


def _export_inside(path: Path) -> Path | None:
    """The first export in a folder that is none itself, as a teardown makes it."""
    if not path.is_dir() or (path / MANIFEST).exists():
        return None
    return next((manifest.parent for manifest in sorted(path.glob(f"*/{MANIFEST}"))), None)


def _verify_tar(path: Path) -> Manifest:
    found: dict[str, tuple[str, int]] = {}
    manifest: Manifest | None = None
    try:
        with tarfile.open(path, "r|") as packed:
            for member in packed:
                content = packed.extractfile(member)
                if content is None:
                    raise ValueError("not a file")
                if member.name == MANIFEST:
                    manifest = _parse(content.read())
                else:
                    found[member.name] = _digest(content)
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise _unusable(path, "it is cut off, or not an export") from error
    if manifest is None:
        raise _unusable(path, "it is cut off: its end is missing")
    if found != manifest.files:
        wrong = next(name for name in {**found, **manifest.files} if found.get(name) != manifest.files.get(name))
        raise _unusable(path, f"{_kind(wrong)} is missing or damaged")
    return manifest


def _digest(content: IO[bytes]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while part := content.read(1 << 20):
        digest.update(part)
        size += len(part)
    return digest.hexdigest(), size


def _parse(text: bytes) -> Manifest:
    """Raises ValueError, KeyError or TypeError."""
    document = json.loads(text)
    if document["format"] != FORMAT:
        raise ValueError("a format of another version")
    files = {name: (digest, size) for name, (digest, size) in document["files"].items()}
    trails = document.get("trail", {})  # an export of an earlier version has none
    trail = str(trails[""]["hash"]) if "" in trails else ""
    return Manifest(document["counts"], document["contents"], document["keys"], files, trail)


def _unusable(path: Path, why: str) -> PneumoError:
    return PneumoError(f"the export {path} cannot be used: {why}", ANOTHER)


def _kind(name: str) -> str:
    """What a file of an export is."""
    return "a picture" if name.startswith((PICTURES, FILMS)) else "a damaged part" if "/" in name else name


def _safe(name: str, path: Path) -> str:
    """The name, which must lie within the export."""
    if name.startswith("/") or ".." in name.split("/"):
        raise _unusable(path, "it names a file outside of itself")
    return name


def _unpack(spool: Path, folder: Path) -> None:
    """Write each file for the owner alone, synced."""
    folder.mkdir(mode=0o700)
    with tarfile.open(spool, "r|") as packed:
        for member in packed:
            file = folder / _safe(member.name, spool)
            file.parent.mkdir(exist_ok=True, mode=0o700)
            with open_private(file) as out, packed.extractfile(member) or BytesIO() as content:
                shutil.copyfileobj(content, out)
                flush(out)


def open_private(path: Path) -> IO[bytes]:
    """A new file that only its owner can read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def result_ids(path: Path) -> set[str]:
    """The ids of the results in a verified export. Raises PneumoError if it was changed after it was made."""
    try:
        return {str(json.loads(line)["id"]) for line in _sealed(path).splitlines()}
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise _unusable(path, f"{SEALED} cannot be read") from error


def _sealed(path: Path) -> bytes:
    if path.is_dir():
        return (path / SEALED).read_bytes()
    with tarfile.open(path, "r:") as packed, packed.extractfile(SEALED) or BytesIO() as content:
        return content.read()


def write_for_import(path: Path, out: IO[bytes]) -> int:
    """Write the tar that an import needs, of a verified export; returns its size."""
    if path.is_file():
        with path.open("rb") as source:
            shutil.copyfileobj(source, out)
    else:
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT) as packed:
            for name in _needed(path):
                packed.add(path / name, arcname=name, recursive=False)
    return out.tell()


def _needed(folder: Path) -> Iterable[str]:
    yield from (name for name in (MANIFEST, SEALED, TRAIL) if name != TRAIL or (folder / TRAIL).exists())
    yield from (f"{PICTURES}{file.name}" for file in sorted((folder / PICTURES).glob("*.jpg")))
    yield from (f"{FILMS}{file.name}" for file in sorted((folder / FILMS).glob("*.bin")))


def parts(source: IO[bytes]) -> Iterator[bytes]:
    """The contents of a file, in parts."""
    while part := source.read(1 << 16):
        yield part
