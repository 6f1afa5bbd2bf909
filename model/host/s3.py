"""A bucket, and a training run's things in it: data by manifest, what is left at its end."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from model.files import sha256

AT_ONCE = 16
ATTEMPTS = 3  # to read an object whose answer breaks off


class BucketError(Exception):
    """The bucket does not give or take; the message says what."""


class Bucket:
    """Objects of one bucket, below a prefix. Its errors are BucketError."""

    def __init__(self, name: str, region: str, prefix: str = "") -> None:
        import boto3
        from botocore.config import Config

        retries = {"mode": "standard", "total_max_attempts": 4}
        limits = Config(connect_timeout=5, read_timeout=30, retries=retries, max_pool_connections=AT_ONCE)
        self._client = boto3.client("s3", region_name=region, config=limits)
        self.name, self._prefix = name, prefix

    def put(self, key: str, body: Path | bytes) -> None:
        """Write an object."""
        if isinstance(body, bytes):
            self._do("write", key, lambda at: self._client.put_object(**at, Body=body))
            return
        with body.open("rb") as file:
            self._do("write", key, lambda at: self._client.put_object(**at, Body=file))

    def get(self, key: str) -> bytes | None:
        """An object's contents, None if there is none."""
        found = self._do("read", key, self._read, missing=True)
        return None if found is None else bytes(found)

    def _read(self, at: dict[str, str]) -> bytes:
        return bytes(self._client.get_object(**at)["Body"].read())

    def fetch(self, key: str, path: Path) -> None:
        """An object into a file, which appears whole or not at all."""
        beside = path.with_name(f".{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)

        def copy(at: dict[str, str]) -> None:
            with beside.open("wb") as file:
                shutil.copyfileobj(self._client.get_object(**at)["Body"], file, 1 << 20)

        self._do("read", key, copy)
        beside.replace(path)

    def keys(self, below: str) -> list[str]:
        """The keys that begin so."""

        def listed(at: dict[str, str]) -> list[str]:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=at["Key"])
            return [one["Key"] for page in pages for one in page.get("Contents", ())]

        found: list[str] = self._do("list", below, listed)
        return [key.removeprefix(self._prefix) for key in found]

    def _do(self, verb: str, key: str, act: Callable[[dict[str, str]], Any], missing: bool = False) -> Any:
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            HTTPClientError,
            IncompleteReadError,
            ReadTimeoutError,
            ResponseStreamingError,
        )

        broken_off = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
        for left in reversed(range(ATTEMPTS)):
            try:
                return act({"Bucket": self.name, "Key": self._prefix + key})
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if missing and code in ("NoSuchKey", "404"):
                    return None
                raise BucketError(f"s3://{self.name}/{self._prefix}{key}: cannot {verb}: {code}") from error
            except (BotoCoreError, HTTPClientError, OSError) as error:
                # botocore asks again for an answer, but not where an answer breaks off in the middle of its body.
                if verb != "read" or not left or not isinstance(error, broken_off):
                    raise BucketError(f"s3://{self.name}/{self._prefix}{key}: cannot {verb}: {error}") from error
        return None


def pull(bucket: Bucket, digest: str, place: Path, tell: Callable[[int, int], None]) -> Path:
    """The data set of a manifest, in a folder of its own; what is there already is not fetched again.

    tell(files there, files of all). Raises BucketError, also for contents that are not what their names say.
    """
    raw = bucket.get(f"data/manifests/{digest}.json")
    if raw is None or hashlib.sha256(raw).hexdigest() != digest:
        raise BucketError(f"s3://{bucket.name} has no whole manifest {digest} of a data set")
    files = json.loads(raw)["files"]
    root, done = place / digest, 0

    def one(entry: dict[str, Any]) -> None:
        path = root / entry["path"]
        if not path.resolve().is_relative_to(root.resolve()):
            raise BucketError(f"the manifest {digest} names a file outside its folder")
        if not (path.is_file() and path.stat().st_size == entry["size"] and sha256(path) == entry["sha256"]):
            bucket.fetch(f"data/objects/{entry['sha256']}", path)
            if sha256(path) != entry["sha256"]:
                path.unlink()
                raise BucketError(f"object {entry['sha256']} of the data set is damaged in the bucket")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(one, files):
            done += 1
            tell(done, len(files))
    _drop_others(root, {entry["path"] for entry in files})
    return root


def _drop_others(root: Path, wanted: set[str]) -> None:
    for path in root.rglob("*"):
        if path.is_file() and str(path.relative_to(root)) not in wanted:
            path.unlink()


def send(bucket: Bucket, root: Path, deadline: float, skip: tuple[str, ...], first: str) -> list[str]:
    """The files below a folder but for some of its entries, until the deadline (monotonic); what was not sent, why.

    first: the entry that matters most.
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
