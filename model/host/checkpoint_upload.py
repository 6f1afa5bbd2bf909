"""A run's checkpoints in a bucket: brought there behind the run's back, and from there to where it goes on."""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path

from model.host.s3 import Bucket, BucketError
from model.training.checkpoint import ARRAYS, LATEST, MANIFEST, STATE, whole
from model.training.run_dir import HISTORY, LOG, SETTINGS

log = logging.getLogger(__name__)
FILES = (ARRAYS, STATE, MANIFEST)  # a checkpoint, in the order in which they are written
HOME = (SETTINGS, HISTORY, LOG)  # what a checkpoint needs to go on elsewhere, beside itself
PAUSE_S = 10.0  # before a checkpoint is tried again
EVERY_S = 30.0  # between two checkpoints on their way


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
    here = max((path.name for path in folder.glob("step-*") if whole(path)), default="")
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
    if not whole(beside):
        shutil.rmtree(beside)
        return False
    shutil.rmtree(folder / step, ignore_errors=True)
    beside.rename(folder / step)
    (folder / LATEST).write_text(step)
    return True
