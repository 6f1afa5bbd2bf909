"""Upload a data set to the stack's bucket: files under their hashes, then the manifest, then `latest`.

File names may contain patients' names. The manifest contains them, because the training groups pictures by patient. An
error names a file that must be repaired; nothing else shows a name, and nothing stores one on this machine.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from model.data import dataset
from pneumoctl.aws import s3
from pneumoctl.aws.ec2 import Aws
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import hash_files
from pneumoctl.training import artifacts

OBJECTS, MANIFESTS, LATEST = "data/objects/", "data/manifests/", artifacts.LATEST
SHOWN = 5  # names in an error
_TRAIN = tuple(f"train/{label}/" for label in ("normal", "pneumonia"))
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class File:
    """A file of a data set; `path` is relative, with slashes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """The name and the files of a data set."""

    name: str
    files: tuple[File, ...]

    @property
    def content(self) -> bytes:
        """The canonical JSON, whose hash identifies the data set."""
        files = [asdict(file) for file in sorted(self.files, key=lambda file: file.path)]
        return json.dumps({"name": self.name, "files": files}, separators=(",", ":")).encode()

    @property
    def digest(self) -> str:
        """The data set's identifier."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def key(self) -> str:
        """The manifest's key in the bucket."""
        return f"{MANIFESTS}{self.digest}.json"


@dataclass(frozen=True)
class Push:
    """The part of a data set that the bucket lacks."""

    manifest: Manifest
    objects: tuple[s3.Upload, ...]
    in_bucket: bool  # whether the bucket has the manifest, and therefore all its files
    newest: bool  # whether it is the latest data set already

    @property
    def bytes(self) -> int:
        """How many bytes to upload."""
        return sum(upload.size for upload in self.objects)


def data_set_name(root: Path, name: str | None) -> str:
    """The given name, else the folder's. Raises PneumoError (usage) if it is not valid."""
    chosen = name if name is not None else root.name
    if not _NAME.fullmatch(chosen):
        raise PneumoError(
            f"{chosen!r} is not a valid data set name: use at most 64 letters, digits, '.', '_' and '-', and start "
            "with a letter or digit",
            f"pneumoctl data push {quote(str(root))} --name xrays",
            Exit.USAGE,
        )
    return chosen


def find_files(root: Path) -> list[Path]:
    """The files below `root` without hidden ones, sorted. Raises PneumoError for files that cannot be uploaded."""
    if not root.is_dir():
        raise PneumoError(f"{root} is not a folder", "pneumoctl data push DIR", Exit.USAGE)
    files: list[Path] = []

    def failed(error: OSError) -> None:
        raise _unreadable(root, error)

    home = root.resolve()
    for directory, folders, names in os.walk(root, onerror=failed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        shown = [Path(directory, name) for name in names if not name.startswith(".")]
        links = [path for path in (Path(directory, name) for name in folders) if path.is_symlink()]
        _refuse(root, links, "links to folders", "-type l", "replace them with the folders")
        outside = [path for path in shown if path.is_symlink() and not path.resolve().is_relative_to(home)]
        _refuse(root, outside, "links that lead out of it", "-type l", "replace them with the files")
        files += shown
    special = [path for path in files if not _is_regular(root, path)]
    _refuse(root, special, "special files", "! -type f ! -type d", "remove them")
    undecodable = [path for path in files if not _is_utf8(path)]
    _refuse(root, undecodable, "names that are not UTF-8", "-name '*' | grep -axv '.*'", "rename them")
    relative = [path.relative_to(root).as_posix().lower() for path in files]
    if not all(any(path.startswith(folder) for path in relative) for folder in _TRAIN):
        wanted = "train/NORMAL, train/PNEUMONIA, test/NORMAL and test/PNEUMONIA"
        message = f"{root} is not a data set: a training host reads the folders {wanted}"
        raise PneumoError(message, "pneumoctl data fetch kermany", Exit.USAGE)
    return sorted(files, key=lambda path: path.relative_to(root).as_posix())


def _is_regular(root: Path, path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError as error:  # a broken link, too
        raise _unreadable(root, error) from error


def _is_utf8(path: Path) -> bool:
    try:
        return bool(str(path).encode())
    except UnicodeEncodeError:
        return False


def _refuse(root: Path, bad: Sequence[Path], what: str, search: str, remedy: str) -> None:
    if bad:
        message = f"{root} has {what}: {len(bad)}: {_named(root, bad)}"
        raise PneumoError(message, f"to list them: find {quote(str(root))} {search}; {remedy}", Exit.USAGE)


def _named(root: Path, paths: Sequence[Path]) -> str:
    """The names of the first files, printable whatever bytes they have."""
    names = [str(path.relative_to(root)).encode(errors="backslashreplace").decode() for path in paths[:SHOWN]]
    return ", ".join(names) + (", .." if len(paths) > SHOWN else "")


def _unreadable(root: Path, error: OSError) -> PneumoError:
    name = error.filename or f"a file in {root}"
    return PneumoError(f"{name} cannot be read: {error.strerror or error}", "repair or remove it, then push again")


def build_manifest(root: Path, name: str, paths: Sequence[Path], advance: Callable[[int], None]) -> Manifest:
    """Hash the files; calls `advance` with the bytes of each."""
    try:
        hashes = hash_files(paths, advance)
    except OSError as error:
        raise _unreadable(root, error) from error
    files = [File(path.relative_to(root).as_posix(), *each) for path, each in zip(paths, hashes, strict=True)]
    large = [root / file.path for file in files if file.size > s3.LARGEST]
    _refuse(root, large, "files larger than 5 GiB, the limit of one S3 upload", "-type f -size +5G", "remove them")
    return Manifest(name, tuple(files))


def compare(aws: Aws, bucket: str, root: Path, manifest: Manifest) -> Push:
    """Find the files that the bucket lacks, with one listing."""
    sizes = s3.listed(aws, bucket, "data/")
    missing = {
        file.sha256: s3.Upload(OBJECTS + file.sha256, root / file.path, file.sha256, file.size)
        for file in manifest.files
        if sizes.get(OBJECTS + file.sha256) != file.size
    }
    newest = LATEST in sizes and _latest(aws, bucket) == manifest.digest
    return Push(manifest, tuple(missing.values()), manifest.key in sizes, newest)


def _latest(aws: Aws, bucket: str) -> str:
    return (s3.read(aws, bucket, LATEST) or b"").decode().strip()


def upload(aws: Aws, bucket: str, root: Path, push: Push, advance: Callable[[int], None]) -> None:
    """Upload what is missing: files, then the manifest, then `latest`. Re-running an interrupted upload resumes it.

    Concurrent uploads are safe: the keys of files are their hashes, and the manifest written last is the latest.
    """
    try:
        s3.put(aws, bucket, push.objects, advance)
    except OSError as error:
        raise _unreadable(root, error) from error
    except s3.Changed as error:
        raise PneumoError(f"{error} changed while it was pushed", "run the same command again") from error
    manifest = push.manifest
    if not push.in_bucket:
        s3.write(aws, bucket, manifest.key, manifest.content, manifest.digest)
    if not push.newest:
        line = manifest.digest.encode()
        s3.write(aws, bucket, LATEST, line, hashlib.sha256(line).hexdigest())


def count_pictures(root: Path) -> dict[str, int]:
    """The number of pictures of each split, decoded as the training does.

    Raises PneumoError for a data set that the training would refuse, before a GPU host is started.
    """
    try:
        return dataset.load(root).counts()
    except dataset.DataError as error:
        hint = "then run the same command again; nothing was sent"
        raise PneumoError(f"the training refuses the data set: {error}", hint, Exit.PREFLIGHT) from error


def list_data_sets(aws: Aws, bucket: str) -> list[dict[str, Any]]:
    """Every data set in the bucket, oldest first: name, digest, files, bytes, and whether it is the latest."""
    try:
        listing = aws.items("s3", "list_objects_v2", "Contents", Bucket=bucket, Prefix="data/")
        entries = [entry for entry in listing if not entry["Key"].startswith(OBJECTS)]
    except PneumoError as error:
        raise s3.gone(error, bucket) from error
    newest = _latest(aws, bucket) if any(entry["Key"] == LATEST for entry in entries) else ""
    manifests = (entry for entry in entries if entry["Key"].startswith(MANIFESTS))
    return [
        _describe(aws, bucket, entry["Key"], entry["LastModified"].isoformat("T", "seconds"), newest)
        for entry in sorted(manifests, key=lambda entry: entry["LastModified"])
    ]


def _describe(aws: Aws, bucket: str, key: str, at: str, newest: str) -> dict[str, Any]:
    content = s3.read(aws, bucket, key) or b""
    digest = key.removeprefix(MANIFESTS).removesuffix(".json")
    if hashlib.sha256(content).hexdigest() != digest:
        raise PneumoError(f"s3://{bucket}/{key} does not match its hash", "pneumoctl data push DIR writes it again")
    document = json.loads(content)
    size = sum(file["size"] for file in document["files"])
    return {
        "name": document["name"],
        "manifest": digest,
        "files": len(document["files"]),
        "bytes": size,
        "pushed": at,
        "latest": digest == newest,
    }
