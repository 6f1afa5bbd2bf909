"""An S3 bucket: download a data set by its manifest, upload the files of a run."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from model.files import file_digest

PARALLEL = 16  # transfers
ATTEMPTS = 3  # to read an object whose answer is interrupted


class BucketError(Exception):
    """A failed operation on the bucket; the message says which."""


class DeniedError(BucketError):
    """An operation that S3 denied."""


class Bucket:
    """The objects of a bucket below a prefix. All methods raise BucketError."""

    def __init__(self, name: str, region: str, prefix: str = "") -> None:
        import boto3
        from botocore.config import Config

        retries = {"mode": "standard", "total_max_attempts": 4}
        limits = Config(connect_timeout=5, read_timeout=30, retries=retries, max_pool_connections=PARALLEL)
        self._client = boto3.client("s3", region_name=region, config=limits)
        self.name, self._prefix = name, prefix

    def put(self, key: str, body: Path | bytes) -> None:
        """Write an object."""
        if isinstance(body, bytes):
            self._call("write", key, lambda at: self._client.put_object(**at, Body=body))
            return
        with body.open("rb") as file:
            self._call("write", key, lambda at: self._client.put_object(**at, Body=file))

    def get(self, key: str) -> bytes | None:
        """The content of an object, None if it does not exist.

        S3 may deny the read of a missing key: only those who may list all keys are told that it is missing. This
        host's role may list those below its prefixes, so the list decides.
        """
        try:
            content = self._call("read", key, self._read, missing=True)
        except DeniedError:
            if key in self.keys(key):
                raise
            return None
        return None if content is None else bytes(content)

    def _read(self, at: dict[str, str]) -> bytes:
        return bytes(self._client.get_object(**at)["Body"].read())

    def fetch(self, key: str, path: Path) -> None:
        """Download an object to a file, which is renamed when it is complete."""
        temporary = path.with_name(f".{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)

        def copy(at: dict[str, str]) -> None:
            with temporary.open("wb") as file:
                shutil.copyfileobj(self._client.get_object(**at)["Body"], file, 1 << 20)

        self._call("read", key, copy)
        temporary.replace(path)

    def keys(self, below: str) -> list[str]:
        """The keys that start with `below`."""

        def listed(at: dict[str, str]) -> list[str]:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=at["Key"])
            return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

        keys: list[str] = self._call("list", below, listed)
        return [key.removeprefix(self._prefix) for key in keys]

    def _call(self, verb: str, key: str, act: Callable[[dict[str, str]], Any], missing: bool = False) -> Any:
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            HTTPClientError,
            IncompleteReadError,
            ReadTimeoutError,
            ResponseStreamingError,
        )

        interrupted = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
        for left in reversed(range(ATTEMPTS)):
            try:
                return act({"Bucket": self.name, "Key": self._prefix + key})
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if missing and code in ("NoSuchKey", "404"):
                    return None
                kind = DeniedError if code in ("AccessDenied", "403") else BucketError
                raise kind(f"s3://{self.name}/{self._prefix}{key}: cannot {verb}: {code}") from error
            except (BotoCoreError, HTTPClientError, OSError) as error:
                # botocore retries requests, but not an answer that is interrupted within its body.
                if verb != "read" or not left or not isinstance(error, interrupted):
                    raise BucketError(f"s3://{self.name}/{self._prefix}{key}: cannot {verb}: {error}") from error
        return None


def download_data_set(bucket: Bucket, digest: str, parent: Path, progress: Callable[[int, int], None]) -> Path:
    """Download the data set of a manifest to parent/DIGEST; existing files with the right hash are kept.

    progress(files done, files in all). Raises BucketError, also if the content of an object does not match its hash.
    """
    raw = bucket.get(f"data/manifests/{digest}.json")
    if raw is None or hashlib.sha256(raw).hexdigest() != digest:
        raise BucketError(f"s3://{bucket.name} has no intact data set manifest {digest}")
    files = json.loads(raw)["files"]
    root, done = parent / digest, 0

    def download(entry: dict[str, Any]) -> None:
        path = root / entry["path"]
        if not path.resolve().is_relative_to(root.resolve()):
            raise BucketError(f"the manifest {digest} lists a file outside of its folder")
        if not (path.is_file() and path.stat().st_size == entry["size"] and file_digest(path) == entry["sha256"]):
            bucket.fetch(f"data/objects/{entry['sha256']}", path)
            if file_digest(path) != entry["sha256"]:
                path.unlink()
                raise BucketError(f"object {entry['sha256']} of the data set is damaged in the bucket")

    with ThreadPoolExecutor(PARALLEL) as pool:
        for _ in pool.map(download, files):
            done += 1
            progress(done, len(files))
    _remove_others(root, {entry["path"] for entry in files})
    return root


def _remove_others(root: Path, listed: set[str]) -> None:
    for path in root.rglob("*"):
        if path.is_file() and str(path.relative_to(root)) not in listed:
            path.unlink()


def upload_tree(bucket: Bucket, root: Path, deadline: float, skip: tuple[str, ...], first: str) -> list[str]:
    """Upload the files below a folder until the deadline (monotonic); returns what was not uploaded and why.

    skip: entries of the folder that are left out. first: the entry that is uploaded first.
    """
    missed: list[str] = []
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    for name in sorted(names, key=lambda name: name.split("/")[0] != first):
        path = root / name
        if name.split("/")[0] in skip or path.name.startswith("."):
            continue
        if time.monotonic() > deadline:
            missed.append(f"{name}: no time left")
            continue
        try:
            bucket.put(name, path)
        except BucketError as error:
            missed.append(str(error))
    return missed
