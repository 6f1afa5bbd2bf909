"""A data set's way into the stack's bucket: contents by their hashes, a manifest by its own, `latest` last of all.

File names can be patients' names: they are in the manifest, for the training's patient grouping, and in no message.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from model.data import dataset
from pneumoctl import files as pneumoctl_files
from pneumoctl.aws import s3
from pneumoctl.aws.ec2 import Aws
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.training import artifacts

OBJECTS, MANIFESTS, LATEST = "data/objects/", "data/manifests/", artifacts.LATEST
_TRAIN = tuple(f"train/{label}/" for label in ("normal", "pneumonia"))
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class File:
    """A file of a data set; its path is relative, with slashes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """What a data set is made of."""

    name: str
    files: tuple[File, ...]

    @property
    def content(self) -> bytes:
        """The one spelling of it, by whose hash the data set goes."""
        files = [asdict(one) for one in sorted(self.files, key=lambda one: one.path)]
        return json.dumps({"name": self.name, "files": files}, separators=(",", ":")).encode()

    @property
    def digest(self) -> str:
        """The data set's name to the training."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def key(self) -> str:
        """Where in the bucket it lies."""
        return f"{MANIFESTS}{self.digest}.json"


@dataclass(frozen=True)
class Push:
    """What of a data set the bucket lacks."""

    manifest: Manifest
    objects: tuple[s3.Upload, ...]
    known: bool  # whether the manifest is there, and with it everything that it names
    newest: bool  # whether it is the latest already

    @property
    def bytes(self) -> int:
        """To send."""
        return sum(one.size for one in self.objects)


def named(root: Path, name: str | None) -> str:
    """The data set's name: the given one, else the folder's. PneumoError (usage) for what cannot be one."""
    chosen = name if name is not None else root.name
    if not _NAME.fullmatch(chosen):
        raise PneumoError(
            f"{chosen!r} cannot be the name of a data set: letters, digits, dots and hyphens, at most 64",
            f"pneumoctl data push {quote(str(root))} --name xrays",
            Exit.USAGE,
        )
    return chosen


def find(root: Path) -> list[Path]:
    """The files below `root`, sorted by name, hidden ones left out. PneumoError for what cannot travel."""
    if not root.is_dir():
        raise PneumoError(f"{root} is no folder", "pneumoctl data push DIR", Exit.USAGE)
    found: list[Path] = []

    def failed(error: OSError) -> None:
        raise _unreadable(root, error)

    home = root.resolve()
    for stack, folders, files in os.walk(root, onerror=failed):
        folders[:] = [one for one in folders if not one.startswith(".")]
        shown = [Path(stack, one) for one in files if not one.startswith(".")]
        links = [one for one in (Path(stack, name) for name in folders) if one.is_symlink()]
        _refuse(root, links, "links to folders", "-type l", "put the folders themselves there")
        out = [one for one in shown if one.is_symlink() and not one.resolve().is_relative_to(home)]
        _refuse(root, out, "links that lead out of it", "-type l", "put the files themselves there")
        found += shown
    odd = [one for one in found if not _plain(root, one)]
    _refuse(root, odd, "things that are no files", "! -type f ! -type d", "remove them")
    names = [one for one in found if not _spelled(one)]
    _refuse(root, names, "names that are not UTF-8", "-name '*' | grep -axv '.*'", "rename them")
    inside = [one.relative_to(root).as_posix().lower() for one in found]
    if not all(any(one.startswith(folder) for one in inside) for folder in _TRAIN):
        wanted = "train/NORMAL, train/PNEUMONIA, test/NORMAL and test/PNEUMONIA"
        raise PneumoError(
            f"{root} is no data set: a training host reads the folders {wanted}", "pneumoctl data fetch kermany",
            Exit.USAGE,
        )  # fmt: skip
    return sorted(found, key=lambda one: one.relative_to(root).as_posix())


def _plain(root: Path, path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError as error:  # a link to nothing, too
        raise _unreadable(root, error) from error


def _spelled(path: Path) -> bool:
    try:
        return bool(str(path).encode())
    except UnicodeEncodeError:
        return False


def _refuse(root: Path, bad: Sequence[Path], what: str, search: str, mend: str) -> None:
    if bad:
        raise PneumoError(
            f"{root} has {what}: {len(bad)}", f"find {quote(str(root))} {search} names them; {mend}", Exit.USAGE
        )


def _unreadable(root: Path, error: OSError) -> PneumoError:
    """Without the file's name; the hint finds it."""
    hint = f"find {quote(str(root))} -type f -exec cat {{}} + > /dev/null names it; mend or remove it, then again"
    return PneumoError(f"a file in {root} cannot be read: {error.strerror or error}", hint)


def survey(root: Path, name: str, paths: Sequence[Path], advance: Callable[[int], None]) -> Manifest:
    """Hash the files; `advance` is told the bytes."""
    try:
        found = pneumoctl_files.hashed(paths, advance)
    except OSError as error:
        raise _unreadable(root, error) from error
    files = [File(path.relative_to(root).as_posix(), *one) for path, one in zip(paths, found, strict=True)]
    if any(one.size > s3.LARGEST for one in files):
        raise PneumoError(
            f"{root} has a file of more than 5 GB", f"find {quote(str(root))} -size +5G names it", Exit.USAGE
        )
    return Manifest(name, tuple(files))


def compare(aws: Aws, bucket: str, root: Path, manifest: Manifest) -> Push:
    """What the bucket lacks, by one listing of it."""
    there = s3.listed(aws, bucket, "data/")
    missing = {
        one.sha256: s3.Upload(OBJECTS + one.sha256, root / one.path, one.sha256, one.size)
        for one in manifest.files
        if there.get(OBJECTS + one.sha256) != one.size
    }
    newest = LATEST in there and _latest(aws, bucket) == manifest.digest
    return Push(manifest, tuple(missing.values()), manifest.key in there, newest)


def _latest(aws: Aws, bucket: str) -> str:
    return (s3.read(aws, bucket, LATEST) or b"").decode().strip()


def send(aws: Aws, bucket: str, root: Path, push: Push, advance: Callable[[int], None]) -> None:
    """Bring what is missing: first contents, then the manifest, last of all `latest`. A rerun sends the rest only.

    Two at once do no harm: contents go by their hashes, and of two manifests the one that ends last is the latest.
    """
    try:
        s3.put(aws, bucket, push.objects, advance)
    except OSError as error:
        raise _unreadable(root, error) from error
    except s3.Changed as error:
        raise PneumoError(f"a file in {root} changed while it was pushed", "the same command again") from error
    manifest = push.manifest
    if not push.known:
        s3.write(aws, bucket, manifest.key, manifest.content, manifest.digest)
    if not push.newest:
        line = manifest.digest.encode()
        s3.write(aws, bucket, LATEST, line, hashlib.sha256(line).hexdigest())


def check(root: Path, files: Iterable[File]) -> dict[str, int]:
    """How many pictures each split has, read as the training reads them.

    Raises PneumoError for what the training would refuse, before a GPU is paid to say so.
    """
    try:
        return dataset.load(root).counts()
    except dataset.DataError as error:
        hint = (
            f"python -c 'import sys; from model.data import load; load(sys.argv[1])' {quote(str(root))} names the files"
        )
        raise PneumoError(f"the training refuses it: {_anonymous(str(error), files)}", hint, Exit.PREFLIGHT) from error


def _anonymous(message: str, files: Iterable[File]) -> str:
    names = {Path(one.path).name for one in files}
    for name in sorted((one for one in names if one in message), key=len, reverse=True):
        message = message.replace(name, "...")
    return message


def pushed(aws: Aws, bucket: str) -> list[dict[str, Any]]:
    """Every data set in the bucket, oldest first: name, digest, files, bytes, and whether it is the latest."""
    try:
        found = [
            one for one in aws.items("s3", "list_objects_v2", "Contents", Bucket=bucket, Prefix="data/")
            if not one["Key"].startswith(OBJECTS)
        ]  # fmt: skip
    except PneumoError as error:
        raise s3.gone(error, bucket) from error
    newest = _latest(aws, bucket) if any(one["Key"] == LATEST for one in found) else ""
    sets = sorted((one for one in found if one["Key"].startswith(MANIFESTS)), key=lambda one: one["LastModified"])
    return [_told(aws, bucket, one["Key"], one["LastModified"].isoformat("T", "seconds"), newest) for one in sets]


def _told(aws: Aws, bucket: str, key: str, at: str, newest: str) -> dict[str, Any]:
    content = s3.read(aws, bucket, key) or b""
    digest = key.removeprefix(MANIFESTS).removesuffix(".json")
    if hashlib.sha256(content).hexdigest() != digest:
        raise PneumoError(f"s3://{bucket}/{key} is not what its name says", "pneumoctl data push DIR writes it anew")
    document = json.loads(content)
    size = sum(one["size"] for one in document["files"])
    return {"name": document["name"], "manifest": digest, "files": len(document["files"]), "bytes": size,
            "pushed": at, "latest": digest == newest}  # fmt: skip
