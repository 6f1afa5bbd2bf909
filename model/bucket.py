"""A training run's things in a bucket: data by manifest, checkpoints behind the run's back, what is left at its end."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from model.checkpoint import ARRAYS, LATEST, MANIFEST, STATE
from model.rundir import HISTORY, LOG, SETTINGS

log = logging.getLogger(__name__)
AT_ONCE = 16
FILES = (ARRAYS, STATE, MANIFEST)  # a checkpoint, in the order in which they are written
HOME = (SETTINGS, HISTORY, LOG)  # what a checkpoint needs to go on elsewhere, beside itself
ATTEMPTS = 3  # to read an object whose answer breaks off
PAUSE_S = 10.0  # before a checkpoint is tried again
EVERY_S = 30.0  # between two checkpoints on their way


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
        if not (path.is_file() and path.stat().st_size == entry["size"] and _sha256(path) == entry["sha256"]):
            bucket.fetch(f"data/objects/{entry['sha256']}", path)
            if _sha256(path) != entry["sha256"]:
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


class Shipper:
    """Brings checkpoints to the bucket while the run goes on; when there are newer ones, only the newest.

    `trouble`: why the last try failed, "" when it did not.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._wanted: Path | None = None
        self._changed = threading.Condition()
        self._closing = self._busy = False
        self._shipped = ""
        self.trouble = ""
        self._thread = threading.Thread(target=self._run, daemon=True, name="shipper")
        self._thread.start()

    def offer(self, place: Path) -> None:
        """A checkpoint was saved here."""
        with self._changed:
            self._wanted = place
            self._changed.notify_all()

    def close(self, seconds: float) -> bool:
        """Bring the newest one there, if that takes no longer; whether it is there."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(seconds)
        return self._wanted is None and not self._busy

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted is not None or self._closing)
                place, self._wanted = self._wanted, None
                self._busy = place is not None
            if place is None:
                return
            good = self._ship(place)
            with self._changed:
                self._busy = False
                if not good and self._wanted is None:
                    self._wanted = place
                self._changed.wait_for(lambda: self._closing, EVERY_S if good else PAUSE_S)
                if self._closing and not good:
                    self._changed.wait(1.0)

    def _ship(self, place: Path) -> bool:
        try:
            ship(self._bucket, place)
        except FileNotFoundError:  # a newer one took its place meanwhile
            return True
        except BucketError as error:
            if str(error) != self.trouble:
                log.warning("the checkpoint is not in the bucket yet: %s", error)
            self.trouble = str(error)
            return False
        self.trouble = ""
        return True


def ship(bucket: Bucket, place: Path) -> None:
    """One checkpoint behind what it needs to go on elsewhere; its manifest last, then the name of the newest."""
    for name in HOME:
        if (path := place.parents[1] / name).is_file():
            bucket.put(name, path.read_bytes())  # the log may grow meanwhile
    for name in FILES:
        bucket.put(f"checkpoints/{place.name}/{name}", place / name)
    bucket.put(f"checkpoints/{LATEST}", place.name.encode())


def restore(bucket: Bucket, run: Path) -> str:
    """Bring a run here to go on with: its settings, history and log, and its newest whole checkpoint.

    Nothing is fetched that is here as new. Returns the checkpoint's name, "" if there is none. A damaged one gives way
    to the one before it. Raises BucketError: a run that cannot be read now is not begun anew.
    """
    for name in HOME:
        if not (run / name).exists() and (content := bucket.get(name)) is not None:
            (run / name).parent.mkdir(parents=True, exist_ok=True)
            (run / name).write_bytes(content)
    folder = run / "checkpoints"
    here = max((path.name for path in folder.glob("step-*") if _whole(path)), default="")
    there = set(bucket.keys("checkpoints/step-"))
    for step in sorted({key.split("/")[1] for key in there}, reverse=True):
        if here >= step:
            break
        if all(f"checkpoints/{step}/{name}" in there for name in FILES) and _fetched(bucket, folder, step):
            return step
        log.warning("checkpoint %s is not whole in the bucket; trying the one before", step)
    return here


def _fetched(bucket: Bucket, folder: Path, step: str) -> bool:
    beside = folder / f".fetched-{step}"
    for name in FILES:
        bucket.fetch(f"checkpoints/{step}/{name}", beside / name)
    if not _whole(beside):
        shutil.rmtree(beside)
        return False
    shutil.rmtree(folder / step, ignore_errors=True)
    beside.rename(folder / step)
    (folder / LATEST).write_text(step)
    return True


def _whole(place: Path) -> bool:
    try:
        manifest = json.loads((place / MANIFEST).read_text())
        return all(_sha256(place / name) == manifest[name] for name in (ARRAYS, STATE))
    except (OSError, ValueError, KeyError):
        return False


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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
