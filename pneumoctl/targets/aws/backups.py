"""The backups of the results in the stack's bucket: make one now, and fetch the newest."""

from datetime import UTC, datetime
from pathlib import Path

from pneumoctl.aws import s3
from pneumoctl.errors import PneumoError
from pneumoctl.hosts.backups import UNIT
from pneumoctl.results import archive
from pneumoctl.results.transfer import Summary
from pneumoctl.ssh import remote_command
from pneumoctl.stack.stack import exports
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.results import HostStore
from pneumoctl.terminal.console import console

PREFIX = "backups/results/"
_LIMIT_S = 1800.0


def make(store: HostStore) -> None:
    """Back the store up now; a failure is a warning, because what counts is what is in the bucket."""
    done = remote_command.run(store.connections, store.machine, ("systemctl", "start", UNIT), _LIMIT_S)
    if done.code:
        console.warn(f"the results on {store.host} were not backed up: pneumoctl ssh {store.host} journalctl -u {UNIT}")


def fetch(context: Context) -> tuple[Path, Summary] | None:
    """Download the newest backup to the exports of this machine, verified; None if there is none."""
    found = s3.objects(context.aws, context.bucket, (PREFIX,))
    if not found:
        return None
    newest = max(found, key=lambda item: item.key)
    folder = exports() / f"{context.settings.stack}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-backup"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    s3.download(context.aws, context.bucket, [newest], folder, prefix=PREFIX)
    path = folder / newest.key.removeprefix(PREFIX)
    try:
        manifest = archive.verify(path)
    except PneumoError as error:
        console.warn(f"the newest backup of the results is not used: {error.message}")
        return None
    return path, Summary(manifest.counts, manifest.contents)
