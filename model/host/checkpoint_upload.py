"""Upload the checkpoints of a run to a bucket in the background, and restore them where the run continues."""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path

from model.files import write_text
from model.host.s3 import Bucket, BucketError
from model.run_dir import HISTORY, LOG, SETTINGS
from model.training.checkpoint import ARRAYS, LATEST, MANIFEST, STATE, is_intact

log = logging.getLogger(__name__)
CHECKPOINT_FILES = (ARRAYS, STATE, MANIFEST)  # in the order in which they are uploaded
RUN_FILES = (SETTINGS, HISTORY, LOG)  # needed beside a checkpoint to continue a run elsewhere
RETRY_PAUSE_S = 10.0
UPLOAD_INTERVAL_S = 30.0


class CheckpointUploader:
    """Uploads checkpoints in a thread while the run continues; if several are waiting, only the newest.

    `last_error`: why the last upload failed, "" if it succeeded.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._pending: Path | None = None
        self._changed = threading.Condition()
        self._closing = self._busy = False
        self.last_error = ""
        self._thread = threading.Thread(target=self._run, daemon=True, name="checkpoint-upload")
        self._thread.start()

    def offer(self, checkpoint: Path) -> None:
        """Upload this checkpoint next, instead of any that is waiting."""
        with self._changed:
            self._pending = checkpoint
            self._changed.notify_all()

    def close(self, seconds: float) -> bool:
        """Finish the upload of the newest checkpoint within `seconds`; returns whether it succeeded."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(seconds)
        return self._pending is None and not self._busy

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending is not None or self._closing)
                checkpoint, self._pending = self._pending, None
                self._busy = checkpoint is not None
            if checkpoint is None:
                return
            succeeded = self._upload(checkpoint)
            with self._changed:
                self._busy = False
                if not succeeded and self._pending is None:
                    self._pending = checkpoint
                self._changed.wait_for(lambda: self._closing, UPLOAD_INTERVAL_S if succeeded else RETRY_PAUSE_S)
                if self._closing and not succeeded:
                    self._changed.wait(1.0)

    def _upload(self, checkpoint: Path) -> bool:
        try:
            upload(self._bucket, checkpoint)
        except FileNotFoundError:  # it was deleted meanwhile, because there are newer ones
            return True
        except BucketError as error:
            if str(error) != self.last_error:
                log.warning("the checkpoint could not be uploaded yet: %s", error)
            self.last_error = str(error)
            return False
        self.last_error = ""
        return True


def upload(bucket: Bucket, checkpoint: Path) -> None:
    """Upload the files of the run, then those of the checkpoint (its manifest last), then the name of the newest."""
    for name in RUN_FILES:
        if (path := checkpoint.parents[1] / name).is_file():
            bucket.put(name, path.read_bytes())  # read first, because the log may grow during the upload
    for name in CHECKPOINT_FILES:
        bucket.put(f"checkpoints/{checkpoint.name}/{name}", checkpoint / name)
    bucket.put(f"checkpoints/{LATEST}", checkpoint.name.encode())


def restore(bucket: Bucket, run: Path) -> str:
    """Download a run to continue it: its settings, history and log, and its newest intact checkpoint.

    Files that exist here are not downloaded again. Returns the name of the checkpoint, "" if there is none; a damaged
    one is skipped. Raises BucketError if the bucket cannot be read; the run must not start from the beginning then.
    """
    for name in RUN_FILES:
        if not (run / name).exists() and (content := bucket.get(name)) is not None:
            (run / name).parent.mkdir(parents=True, exist_ok=True)
            (run / name).write_bytes(content)
    folder = run / "checkpoints"
    local = max((path.name for path in folder.glob("step-*") if is_intact(path)), default="")
    keys = set(bucket.keys("checkpoints/step-"))
    for step in sorted({key.split("/")[1] for key in keys}, reverse=True):
        if local >= step:
            break
        if all(f"checkpoints/{step}/{name}" in keys for name in CHECKPOINT_FILES) and _download(bucket, folder, step):
            return step
        log.warning("checkpoint %s is incomplete or damaged in the bucket; trying the previous one", step)
    return local


def _download(bucket: Bucket, folder: Path, step: str) -> bool:
    temporary = folder / f".fetched-{step}"
    for name in CHECKPOINT_FILES:
        bucket.fetch(f"checkpoints/{step}/{name}", temporary / name)
    if not is_intact(temporary):
        shutil.rmtree(temporary)
        return False
    shutil.rmtree(folder / step, ignore_errors=True)
    temporary.rename(folder / step)
    write_text(folder / LATEST, step)
    return True
