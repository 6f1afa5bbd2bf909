"""The stack's bucket: read, upload and empty it."""

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

RESULTS = ("runs/", "bundles/")
CHUNK = 2**20
PAGE = 1000  # as many as one call can delete
TRIES = 3
DOWNLOADS_AT_ONCE = 4
UPLOADS_AT_ONCE = 8  # fewer than the connections that a client keeps
LARGEST = 5 * 2**30  # bytes that S3 takes in one request


@dataclass(frozen=True)
class Object:
    """A current object; size in bytes."""

    key: str
    size: int
    modified: datetime


def objects(aws: Aws, bucket: str, prefixes: Sequence[str] = RESULTS) -> list[Object]:
    """The current objects below the prefixes; none when the bucket is gone."""
    found = []
    with _gone_is_empty():
        for prefix in prefixes:
            for one in aws.items("s3", "list_objects_v2", "Contents", Bucket=bucket, Prefix=prefix):
                found.append(Object(one["Key"], one["Size"], one["LastModified"]))
    return found


def versions(aws: Aws, bucket: str) -> int:
    """How many versions and delete markers the bucket holds; 0 when it is gone."""
    count = 0
    with _gone_is_empty():
        for page in aws.pages("s3", "list_object_versions", Bucket=bucket):
            count += len(_listed(page))
    return count


def empty(aws: Aws, bucket: str, advance: Callable[[int], None] = lambda _: None) -> int:
    """Delete every version and delete marker; tells `advance` after each thousand. Already gone is done."""
    deleted = 0
    with _gone_is_empty():
        # From the start each time: what is deleted moves up, and what is written meanwhile goes too.
        while page := _listed(aws.call("s3", "list_object_versions", Bucket=bucket, MaxKeys=PAGE)):
            answer = aws.call("s3", "delete_objects", Bucket=bucket, Delete={"Objects": page, "Quiet": True})
            for error in answer.get("Errors", ()):
                message = f"{error['Key']} in bucket {bucket} cannot be deleted: {error.get('Message', error['Code'])}"
                raise PneumoError(message, "have s3:DeleteObjectVersion allowed, then the same command again")
            deleted += len(page)
            advance(len(page))
    return deleted


def _listed(page: Mapping[str, Any]) -> list[dict[str, str]]:
    both = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
    return [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in both]


def download(
    aws: Aws,
    bucket: str,
    wanted: Sequence[Object],
    folder: Path,
    advance: Callable[[int], None] = lambda _: None,
    below: str = "",
) -> None:
    """Copy objects to `folder`, each whole or not at all; those that are there already are not fetched again.

    `below`: the part of their keys that is left out of the files' names.
    `advance` is told the bytes of each file that is there. Raises PneumoError; a rerun goes on where this one ended.
    """
    files = [one for one in wanted if not one.key.endswith("/")]
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        for size in pool.map(partial(_download, aws, bucket, folder, below), files):
            advance(size)


def _download(aws: Aws, bucket: str, folder: Path, below: str, one: Object) -> int:
    target = folder / one.key.removeprefix(below)
    if any(part in ("", ".", "..") for part in one.key.split("/")):
        raise PneumoError(f"the object {one.key!r} in bucket {bucket} has no name that a file can have", "rename it")
    try:
        if not _have(target, one):
            target.parent.mkdir(parents=True, exist_ok=True)
            _fetch(aws, bucket, one, target)
    except OSError as error:
        raise PneumoError(f"{target} cannot be written: {error}", f"make room or rights at {folder}") from error
    return one.size


def _have(target: Path, one: Object) -> bool:
    if not target.is_file():
        return False
    found = target.stat()
    return found.st_size == one.size and int(found.st_mtime) == int(one.modified.timestamp())


def _fetch(aws: Aws, bucket: str, one: Object, target: Path) -> None:
    for left in range(TRIES - 1, -1, -1):
        with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name[:100]}.", delete=False) as beside:
            fresh = Path(beside.name)
            try:
                with aws.translated("s3", "get_object"):
                    body = aws.client("s3").get_object(Bucket=bucket, Key=one.key)["Body"]
                    for chunk in body.iter_chunks(CHUNK):
                        beside.write(chunk)
                beside.flush()
                os.fsync(beside.fileno())
                os.utime(fresh, (one.modified.timestamp(),) * 2)
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
    """A file is not what was hashed before. Its name may be a patient's: it is in no message."""


@dataclass(frozen=True)
class Upload:
    """A file on its way: where to, its sha256 and its bytes."""

    key: str
    path: Path
    sha256: str
    size: int


def listed(aws: Aws, bucket: str, prefix: str) -> dict[str, int]:
    """Key -> bytes of what is below a prefix. PneumoError if the bucket is gone."""
    try:
        return {one["Key"]: one["Size"] for one in aws.items(
            "s3", "list_objects_v2", "Contents", Bucket=bucket, Prefix=prefix)}  # fmt: skip
    except PneumoError as error:
        raise gone(error, bucket) from error


def gone(error: PneumoError, bucket: str) -> PneumoError:
    """The same error, or what to do where there is no bucket."""
    if error.details.get("aws_code") != "NoSuchBucket":
        return error
    return PneumoError(f"the stack's bucket {bucket} is gone", "pneumoctl up", error.code, **error.details)


def put(aws: Aws, bucket: str, wanted: Sequence[Upload], advance: Callable[[int], None] = lambda _: None) -> None:
    """Write the files; `advance` is told the bytes of each one that is there. The first failure ends it.

    Raises PneumoError, OSError where a file cannot be read, and Changed.
    """
    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        for size in pool.map(partial(_put, aws, bucket), wanted):
            advance(size)


def _put(aws: Aws, bucket: str, one: Upload) -> int:
    # S3 compares the checksum, too; here it is found before anything is sent.
    if sha256(one.path) != one.sha256:
        raise Changed
    with one.path.open("rb") as body:
        write(aws, bucket, one.key, body, one.sha256)
    return one.size


def write(aws: Aws, bucket: str, key: str, body: object, digest: str) -> None:
    """Write one object, whose contents S3 holds against the sha256."""
    checksum = b64encode(bytes.fromhex(digest)).decode()
    try:
        aws.call("s3", "put_object", Bucket=bucket, Key=key, Body=body, ChecksumSHA256=checksum)
    except PneumoError as error:
        raise gone(error, bucket) from error


def read(aws: Aws, name: str, key: str) -> bytes | None:
    """An object's contents, None if there is none."""
    try:
        with aws.translated("s3", "get_object"):
            return bytes(aws.client("s3").get_object(Bucket=name, Key=key)["Body"].read())
    except PneumoError as error:
        if error.details.get("aws_code") in ("NoSuchKey", "404"):
            return None
        raise
