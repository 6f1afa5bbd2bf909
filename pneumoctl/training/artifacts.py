"""A run's part of the stack's bucket: the data it will train on, its last words, a sign of life, its results."""

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


END = "end.json"


LEFT = ("checkpoints/", "order.json")  # of no use here


class Store:
    """One run's objects in the bucket. Raises PneumoError."""

    def __init__(self, aws: Aws, name: str, run: str) -> None:
        self._aws, self._name, self._prefix = aws, name, f"runs/{run}/"

    def end(self) -> Mapping[str, Any] | None:
        """How the host says that it ended; None while it has not."""
        found = read(self._aws, self._name, self._prefix + END)
        return None if found is None else json.loads(found)

    def forget_end(self) -> None:
        """Before it is resumed: the end of an earlier attempt is none of this one's."""
        self._aws.call("s3", "delete_object", Bucket=self._name, Key=self._prefix + END)

    def alive(self) -> datetime | None:
        """When the run last wrote anything there: heard when SSH is not."""
        return max((one.modified for one in s3.objects(self._aws, self._name, (self._prefix,))), default=None)

    def fetch(self, folder: Path, advance: Callable[[int], None] = lambda _: None) -> list[str]:
        """Everything that it made, checkpoints apart, to `folder`; returns the names."""
        found = s3.objects(self._aws, self._name, (self._prefix,))
        left = tuple(self._prefix + one for one in LEFT)
        wanted = [one for one in found if not one.key.startswith(left)]
        s3.download(self._aws, self._name, wanted, folder, advance, self._prefix)
        return sorted(one.key.removeprefix(self._prefix) for one in wanted)


def data(aws: Aws, name: str) -> tuple[str, str]:
    """The newest data set: the digest of its manifest, and what it is called. PneumoError (exit 4) if there is none."""
    digest = (read(aws, name, LATEST) or b"").decode().strip()
    manifest = read(aws, name, f"data/manifests/{digest}.json") if digest else None
    if manifest is None:
        raise PneumoError("there is no data set in the stack's bucket", "pneumoctl data push DIR", Exit.PREFLIGHT)
    return digest, str(json.loads(manifest)["name"])


def sound(folder: Path) -> dict[str, Any] | None:
    """Name and version of the bundle that came home, verified and kept in the registry as this run's; None without one.

    `folder`: the run's results. PneumoError for a bundle that cannot be trusted.
    """
    if not (folder / "bundle").is_dir():
        return None
    try:
        found = store.register(folder / "bundle", folder.parent.name)
    except PneumoError as error:
        hint = f"pneumoctl runs fetch; or {error.hint}"
        raise PneumoError(f"the bundle that came home: {error.message}", hint) from error
    return {"name": found.manifest["name"], "version": found.manifest["version"], "folder": str(found.directory)}
