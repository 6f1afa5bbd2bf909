"""The backups of the results in the stack's bucket: make one now, and fetch the newest that is intact."""

from pathlib import Path

from pneumoctl.aws import s3
from pneumoctl.errors import PneumoError
from pneumoctl.hosts.backups import LAST, UNIT
from pneumoctl.results import archive, transfer
from pneumoctl.results.transfer import Summary
from pneumoctl.ssh import remote_command
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.store.results import HostStore
from pneumoctl.targets.common import keep
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted

PREFIX = "backups/results/"
_LIMIT_S = 1800.0


class Unusable(PneumoError):
    """There are backups, and none of them is intact."""

    def __init__(self, count: int, folder: Path) -> None:
        message = (
            f"no backup of the results can be used: {counted(count, 'file')} in the bucket, downloaded to {folder}"
        )
        super().__init__(message, f"keep {folder}, then, without these results: pneumoctl up --lose-results")
        self.folder = folder


def make(store: HostStore) -> None:
    """Back the store up now; a failure is a warning, because what counts is what is in the bucket.

    The host makes one also if its results have not changed since the last one: the trail of clinical acts may have.
    """
    remote_command.run(store.connections, store.machine, ("rm", "-f", LAST), _LIMIT_S)
    done = remote_command.run(store.connections, store.machine, ("systemctl", "start", UNIT), _LIMIT_S)
    if done.code:
        why = f"pneumoctl ssh {store.host} -- sudo journalctl -n 50 -u {UNIT}"
        console.warn(f"the results on {store.host} were not backed up (next: {why})")


def new_folder(context: Context) -> Path:
    """A folder for a backup among the exports of this machine."""
    folder = keep.new_folder(context.stack)
    return folder.with_name(f"{folder.name}-backup")


def fetch(context: Context, folder: Path) -> tuple[Path, Summary] | None:
    """Download the newest intact backup to a folder, and keep the keys that sealed it; None if there is no backup.

    Raises Unusable if there are backups and none is intact: that is a loss, and never the same as no backup.
    """
    bucket = context.made_bucket
    found = s3.objects(context.aws, bucket, (PREFIX,)) if bucket else []
    # By S3's time: the key has the date of the host, whose clock may be wrong.
    for item in sorted(found, key=lambda item: (item.modified, item.key), reverse=True):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        s3.download(context.aws, bucket, [item], folder, prefix=PREFIX)
        path = folder / item.key.removeprefix(PREFIX)
        try:
            manifest = archive.verify(path)
        except PneumoError as error:
            console.warn(f"a backup of the results is not used: {error.message}")
            continue
        return path, transfer.with_keys(context.stack, manifest, path)
    if found:
        raise Unusable(len(found), folder)
    return None
