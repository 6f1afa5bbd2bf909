"""Back the store up into the stack's bucket: `python -m webapp.api.backup`, on the host of the store.

Writes an export (see webapp.api.export), with the digest of its contents as metadata: the first of a day to
backups/results/DATE.tar, each later one to backups/results/latest.tar. The bucket keeps what it replaces as older
versions, for a day those of latest.tar. A store that has not changed since the last backup is backed up again only
after a day, because backups expire.
"""

import json
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from webapp.api.export import WAIT_S, export
from webapp.api.settings import StoreSettings
from webapp.api.storage.errors import StoreUnavailable
from webapp.api.storage.store_copy import StoreCopy
from webapp.environment import Environment, EnvironmentInvalid

PREFIX = "backups/results/"
LATEST = "latest.tar"
STATE = "last.json"  # what the last backup held; pneumoctl removes it after it emptied the bucket
_UNCHANGED = timedelta(days=1)


class UploadFailed(Exception):
    """A backup was not written; the message says why, without its key."""


@dataclass(frozen=True)
class Bucket:
    """A bucket, written to with the role of this EC2 host; AWS_ENDPOINT_URL may name another place for S3."""

    name: str
    region: str

    def put(self, key: str, body: IO[bytes], metadata: Mapping[str, str]) -> None:
        """Write an object with its metadata; S3 compares a checksum of the body. Raises UploadFailed."""
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        limits = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 3})
        try:
            client = boto3.Session().client("s3", region_name=self.region, config=limits)
            client.put_object(Bucket=self.name, Key=key, Body=body, Metadata=dict(metadata))
        except ClientError as error:
            raise UploadFailed(f"S3 refuses the object ({error.response['Error']['Code']})") from error
        except BotoCoreError as error:
            raise UploadFailed(f"the object cannot be sent to S3 ({type(error).__name__})") from error


def backup(store: StoreCopy, bucket: Bucket, state: Path, now: datetime) -> str:
    """Back up unless nothing has changed; returns what was done. `state`: the file that records the last backup."""
    held, last = store.summary(), _read(state)
    if last.get("contents") == held["contents"] and now - last["at"] < _UNCHANGED:
        return "unchanged since the last backup"
    day = f"{now:%Y%m%d}"
    with tempfile.TemporaryFile() as archive:
        counts = export(store, archive)
        archive.seek(0)
        contents = str(held["contents"])  # counted before: what came since may be in the backup, too
        metadata = {"contents": contents, **{name: str(number) for name, number in counts.items()}}
        bucket.put(PREFIX + (LATEST if last.get("day") == day else f"{day}.tar"), archive, metadata)
    state.write_text(json.dumps({"contents": contents, "at": now.isoformat(), "day": day}))
    return f"backed up {counts['results']} results, {counts['pictures']} pictures, {counts['reviews']} reviews"


def _read(state: Path) -> dict[str, Any]:
    """What the last backup held, when it was made, and the day of the last one that is kept; empty if not known."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        last = json.loads(state.read_text())
        return {"contents": last["contents"], "at": datetime.fromisoformat(last["at"]), "day": last.get("day")}
    return {}


def main() -> int:
    """Back up; returns 0, or 1 with the reason on stderr."""
    try:
        environment = Environment()
        settings = StoreSettings.read(environment)
        bucket = Bucket(environment.text("BACKUP_BUCKET"), environment.text("BACKUP_REGION"))
        state = Path(environment.text("STATE_DIRECTORY")) / STATE
        environment.check()
        store = StoreCopy.open(settings)
        store.wait(WAIT_S)
        done = backup(store, bucket, state, datetime.now(UTC))
    except (EnvironmentInvalid, StoreUnavailable, UploadFailed, OSError) as error:
        sys.stderr.write(f"backup failed: {error}\n")
        return 1
    sys.stdout.write(f"{done}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
