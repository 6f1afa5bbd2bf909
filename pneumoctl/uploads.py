"""Files into the stack's bucket, several at a time; each arrives whole, as what its hash says, or not at all."""

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pneumoctl.aws import Aws
from pneumoctl.errors import PneumoError

AT_ONCE = 8  # fewer than the connections that a client keeps
MOST = 5 * 2**30  # bytes that S3 takes in one piece


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
    with ThreadPoolExecutor(AT_ONCE) as pool:
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
