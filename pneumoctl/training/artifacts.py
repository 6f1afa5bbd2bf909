"""A run's objects in the stack's bucket: its data, its end report, when it last wrote, its results."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pneumoctl.aws import s3
from pneumoctl.aws.ec2 import Aws
from pneumoctl.aws.s3 import read
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.registry import store

LATEST = "data/latest"
END_REPORT = "end.json"
NOT_DOWNLOADED = ("checkpoints/", "order.json")  # used on training hosts only


class RunStore:
    """One run's objects in the bucket. All methods raise PneumoError."""

    def __init__(self, aws: Aws, bucket: str, run: str) -> None:
        self._aws, self._bucket, self._prefix = aws, bucket, f"runs/{run}/"

    def end_report(self) -> Mapping[str, Any] | None:
        """The host's report of how the run ended; None before its end."""
        content = read(self._aws, self._bucket, self._prefix + END_REPORT)
        return None if content is None else json.loads(content)

    def delete_end_report(self) -> None:
        """Delete the report of an earlier attempt, before the run is resumed."""
        self._aws.call("s3", "delete_object", Bucket=self._bucket, Key=self._prefix + END_REPORT)

    def last_written(self) -> datetime | None:
        """When the run last wrote an object, which shows without SSH that it is active."""
        objects = s3.objects(self._aws, self._bucket, (self._prefix,))
        return max((each.modified for each in objects), default=None)

    def download(self, folder: Path, advance: Callable[[int], None] = lambda _: None) -> list[str]:
        """Download all objects of the run except checkpoints to `folder`; returns their names."""
        excluded = tuple(self._prefix + name for name in NOT_DOWNLOADED)
        objects = s3.objects(self._aws, self._bucket, (self._prefix,))
        wanted = [each for each in objects if not each.key.startswith(excluded)]
        s3.download(self._aws, self._bucket, wanted, folder, advance, self._prefix)
        return sorted(each.key.removeprefix(self._prefix) for each in wanted)


def latest_data_set(aws: Aws, bucket: str) -> tuple[str, str]:
    """Digest of the manifest and name of the newest data set. Raises PneumoError (exit 4) if there is none."""
    digest = (read(aws, bucket, LATEST) or b"").decode().strip()
    manifest = read(aws, bucket, f"data/manifests/{digest}.json") if digest else None
    if manifest is None:
        raise PneumoError("there is no data set in the stack's bucket", "pneumoctl data push DIR", Exit.PREFLIGHT)
    return digest, str(json.loads(manifest)["name"])


def register_bundle(folder: Path) -> dict[str, Any] | None:
    """Verify a run's bundle and copy it to the registry; returns its name and version, None if there is no bundle.

    `folder`: the run's results. Raises PneumoError for a damaged bundle.
    """
    if not (folder / "bundle").is_dir():
        return None
    try:
        model = store.register(folder / "bundle", folder.parent.name)
    except PneumoError as error:
        hint = f"pneumoctl runs fetch; or {error.hint}"
        raise PneumoError(f"the run's bundle: {error.message}", hint) from error
    return {"name": model.manifest["name"], "version": model.manifest["version"], "folder": str(model.directory)}
