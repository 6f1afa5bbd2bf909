"""Objects of the stack's bucket: list, download, upload and delete them."""

import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from pneumoctl.aws.ec2 import Aws
from pneumoctl.errors import PneumoError
from pneumoctl.files import sha256
from pneumoctl.stack.free_space import NotWritten

RESULTS = ("runs/", "bundles/")
CHUNK = 2**20
PAGE = 1000  # the most that one call can delete
TRIES = 3
DOWNLOADS_AT_ONCE = 4
UPLOADS_AT_ONCE = 8  # fewer than the connections that a client keeps
LARGEST = 5 * 2**30  # bytes that S3 takes in one request


@dataclass(frozen=True)
class Object:
    """A current object; size in bytes. `etag`: another one for other contents."""

    key: str
    size: int
    modified: datetime
    etag: str = ""


def _object(entry: Mapping[str, Any]) -> Object:
    return Object(entry["Key"], entry["Size"], entry["LastModified"], entry.get("ETag", ""))


def objects(aws: Aws, bucket: str, prefixes: Sequence[str] = RESULTS) -> list[Object]:
    """The current objects whose key has one of the prefixes; empty if the bucket does not exist."""
    current = []
    with _gone_is_empty():
        for prefix in prefixes:
            for entry in aws.items("s3", "list_objects_v2", "Contents", Bucket=bucket, Prefix=prefix):
                current.append(_object(entry))
    return current


def empty(
    aws: Aws,
    bucket: str,
    advance: Callable[[int], None] = lambda _: None,
    prefix: str = "",
    before: Callable[[list[Object]], object] = lambda _: None,
) -> int:
    """Delete every version and delete marker under a prefix; returns how many. No error if there is no such bucket.

    `before` gets the current objects of each list before the versions of that list, and no others, are deleted.
    """
    deleted = 0
    with _gone_is_empty():
        # List from the start each time, so that objects written meanwhile are deleted, too.
        while listed := _versions(aws, bucket, prefix):
            page = _listed(listed)
            before([_object(entry) for entry in listed.get("Versions", ()) if entry["IsLatest"]])
            answer = aws.call("s3", "delete_objects", Bucket=bucket, Delete={"Objects": page, "Quiet": True})
            for error in answer.get("Errors", ()):
                message = f"{error['Key']} in bucket {bucket} cannot be deleted: {error.get('Message', error['Code'])}"
                raise PneumoError(message, "have s3:DeleteObjectVersion allowed, then run the same command again")
            deleted += len(page)
            advance(len(page))
    return deleted


def _versions(aws: Aws, bucket: str, prefix: str) -> Mapping[str, Any]:
    """The first versions and delete markers; empty if there are none."""
    answer = aws.call("s3", "list_object_versions", Bucket=bucket, Prefix=prefix, MaxKeys=PAGE)
    return answer if _listed(answer) else {}


def _listed(page: Mapping[str, Any]) -> list[dict[str, str]]:
    """What can be deleted of a list.

    A list may end between two versions of a key. The current one of that key is left for the next list: without it, an
    older one would be the current one there.
    """
    entries = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
    last = max((entry["Key"].encode() for entry in entries), default=b"") if page.get("IsTruncated") else b""
    rest = [entry for entry in entries if not (entry["IsLatest"] and entry["Key"].encode() == last)]
    return [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in rest or entries]


def download(
    aws: Aws,
    bucket: str,
    wanted: Sequence[Object],
    folder: Path,
    advance: Callable[[int], None] = lambda _: None,
    prefix: str = "",
    resume: bool = True,
) -> None:
    """Download objects to `folder`, each atomically; with `resume`, except those that are there already.

    `prefix`: removed from each key to get the file's path. `advance` gets the size in bytes of each file. Raises
    PneumoError; re-running an interrupted download resumes it.
    """
    files = [item for item in wanted if not item.key.endswith("/")]
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        for size in pool.map(partial(_download, aws, bucket, folder, prefix, resume), files):
            advance(size)


def _download(aws: Aws, bucket: str, folder: Path, prefix: str, resume: bool, item: Object) -> int:
    target = folder / item.key.removeprefix(prefix)
    if any(part in ("", ".", "..") for part in item.key.split("/")):
        message = f"the key {item.key!r} in bucket {bucket} is not a file path: a part of it is empty, '.' or '..'"
        raise PneumoError(message, "rename the object")
    try:
        if not (resume and _is_downloaded(target, item)):
            target.parent.mkdir(parents=True, exist_ok=True)
            _fetch(aws, bucket, item, target)
    except OSError as error:
        raise NotWritten(target, error.strerror or str(error)) from error
    return item.size


def _is_downloaded(target: Path, item: Object) -> bool:
    if not target.is_file():
        return False
    status = target.stat()
    return status.st_size == item.size and int(status.st_mtime) == int(item.modified.timestamp())


def _fetch(aws: Aws, bucket: str, item: Object, target: Path) -> None:
    for left in range(TRIES - 1, -1, -1):
        with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name[:100]}.", delete=False) as beside:
            fresh = Path(beside.name)
            try:
                with aws.translated("s3", "get_object"):
                    body = aws.client("s3").get_object(Bucket=bucket, Key=item.key)["Body"]
                    for chunk in body.iter_chunks(CHUNK):
                        beside.write(chunk)
                beside.flush()
                os.fsync(beside.fileno())
                os.utime(fresh, (item.modified.timestamp(),) * 2)
                fresh.replace(target)
                return
            except PneumoError as error:
                if not left or error.details.get("aws") != "unreachable":
                    raise
            finally:
                fresh.unlink(missing_ok=True)


@contextmanager
def _gone_is_empty() -> Iterator[None]:
    try:
        yield
    except PneumoError as error:
        if error.details.get("aws_code") != "NoSuchBucket":
            raise


class Changed(Exception):
    """A file changed after it was hashed; its message is the path."""


@dataclass(frozen=True)
class Upload:
    """A file to upload: its key, path, sha256 and size in bytes."""

    key: str
    path: Path
    sha256: str
    size: int


def listed(aws: Aws, bucket: str, prefix: str) -> dict[str, int]:
    """Key -> size in bytes of each object under `prefix`. Raises PneumoError if the bucket does not exist."""
    try:
        listing = aws.items("s3", "list_objects_v2", "Contents", Bucket=bucket, Prefix=prefix)
        return {entry["Key"]: entry["Size"] for entry in listing}
    except PneumoError as error:
        raise gone(error, bucket) from error


def gone(error: PneumoError, bucket: str) -> PneumoError:
    """Return the error, or for a missing bucket one that says so with the next command."""
    if error.details.get("aws_code") != "NoSuchBucket":
        return error
    return PneumoError(f"the stack's bucket {bucket} is gone", "pneumoctl up", error.code, **error.details)


def put(aws: Aws, bucket: str, wanted: Sequence[Upload], advance: Callable[[int], None] = lambda _: None) -> None:
    """Upload the files; `advance` gets the size in bytes of each. The first failure ends the upload.

    Raises PneumoError, OSError if a file cannot be read, and Changed.
    """
    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        for size in pool.map(partial(_put, aws, bucket), wanted):
            advance(size)


def _put(aws: Aws, bucket: str, item: Upload) -> int:
    # S3 compares the checksum, too; this finds a change before anything is sent.
    if sha256(item.path) != item.sha256:
        raise Changed(item.path)
    with item.path.open("rb") as body:
        write(aws, bucket, item.key, body, item.sha256)
    return item.size


def write(aws: Aws, bucket: str, key: str, body: object, digest: str) -> None:
    """Write one object; S3 verifies its contents by the sha256."""
    checksum = b64encode(bytes.fromhex(digest)).decode()
    try:
        aws.call("s3", "put_object", Bucket=bucket, Key=key, Body=body, ChecksumSHA256=checksum)
    except PneumoError as error:
        raise gone(error, bucket) from error


def read(aws: Aws, bucket: str, key: str) -> bytes | None:
    """An object's contents, None if it does not exist.

    S3 denies the read of a missing key to those who may not list the whole bucket: then the list of its prefix decides.
    """
    try:
        with aws.translated("s3", "get_object"):
            return bytes(aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
    except PneumoError as error:
        missing = error.details.get("aws_code") in ("NoSuchKey", "404")
        if missing or (error.details.get("aws") == "denied" and key not in listed(aws, bucket, key)):
            return None
        raise
