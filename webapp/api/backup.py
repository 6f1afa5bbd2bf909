"""Back the store up into the stack's bucket: `python -m webapp.api.backup`, on the host of the store.

Writes an export (see webapp.api.export) to backups/results/DATE.tar, with the digest of its contents as metadata; the
bucket keeps what it replaces as older versions. A store that has not changed since the last backup is backed up again
only after a day, because backups expire.
"""

import json
import os
import sys
import tempfile
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from webapp.api import s3_upload
from webapp.api.export import WAIT_S, export
from webapp.api.s3_upload import Bucket, UploadFailed
from webapp.api.settings import StoreSettings
from webapp.api.storage.errors import StoreUnavailable
from webapp.api.storage.store_copy import StoreCopy
from webapp.environment import Environment, EnvironmentInvalid

PREFIX = "backups/results/"
STATE = "last.json"  # what the last backup held; pneumoctl removes it after it emptied the bucket
_UNCHANGED = timedelta(days=1)


def backup(store: StoreCopy, bucket: Bucket, state: Path, now: datetime) -> str:
    """Back up unless nothing has changed; returns what was done. `state`: the file that records the last backup."""
    held = store.summary()
    with suppress(OSError, ValueError, KeyError):
        last = json.loads(state.read_text())
        if last["contents"] == held["contents"] and now - datetime.fromisoformat(last["at"]) < _UNCHANGED:
            return "unchanged since the last backup"
    with tempfile.TemporaryFile() as archive:
        counts = export(store, archive)
        contents = str(held["contents"])  # counted before: what came since may be in the backup, too
        metadata = {"contents": contents, **{name: str(number) for name, number in counts.items()}}
        key = f"{PREFIX}{now:%Y%m%d}.tar"
        s3_upload.put(bucket, key, archive, metadata, s3_upload.role_credentials())
    state.write_text(json.dumps({"contents": contents, "at": now.isoformat()}))
    return f"backed up {counts['results']} results, {counts['pictures']} pictures, {counts['reviews']} reviews"


def main() -> int:
    """Back up; returns 0, or 1 with the reason on stderr."""
    try:
        environment = Environment()
        settings = StoreSettings.read(environment)
        endpoint = environment.text("AWS_ENDPOINT_URL_S3", os.environ.get("AWS_ENDPOINT_URL", ""))
        bucket = Bucket(environment.text("BACKUP_BUCKET"), environment.text("BACKUP_REGION"), endpoint)
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
