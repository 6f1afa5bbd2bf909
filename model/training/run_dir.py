"""The directory of a training run: who may write it, what it began with, where its words go."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from model.files import write_json
from model.settings import TrainSettings
from model.training.checkpoint import CheckpointError

if TYPE_CHECKING:
    from model.data.dataset import DataSet

SETTINGS, RUN, HISTORY, LOG = "settings.json", "run.json", "history.json", "train.log"
BEST, BUNDLE, CHECKPOINTS, LOCK = "best.keras", "bundle", "checkpoints", "lock"


class UsageError(Exception):
    """Arguments that cannot be followed; one line for the person who typed them."""


def prepare(out: Path, resume: bool) -> None:
    """Make the run directory; a directory that holds a run is only touched to resume it."""
    if resume and not (out / SETTINGS).is_file() and not (out / LOG).is_file():
        raise UsageError(f"{out} holds no run to resume; leave --resume out to start one")
    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not empty; give --resume to go on with its run, or another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror}; give another --out") from error


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the run directory alone; the system lets go however the process ends. Raises UsageError when held."""
    with (out / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(f"another process trains in {out}; wait for it, or give another --out") from error
        yield


def saved_settings(out: Path) -> TrainSettings | None:
    """The settings the run began with, or None when it was killed before it wrote them."""
    path = out / SETTINGS
    return TrainSettings.from_dict(json.loads(path.read_text())["settings"]) if path.is_file() else None


def record(out: Path, chosen: TrainSettings, dataset: DataSet) -> str:
    """Write settings.json on the first start; returns the hash over settings and data that checkpoints carry."""
    facts = {"name": dataset.name, "manifest_sha256": dataset.manifest_sha256, **dataset.counts()}
    document = {"settings": chosen.to_dict(), "data": facts}
    path = out / SETTINGS
    if path.is_file() and json.loads(path.read_text())["data"] != facts:
        raise CheckpointError(f"the data is not what the run in {out} began with; start a new run for new data")
    write_json(path, document)
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


@contextmanager
def noise_to(path: Path) -> Iterator[None]:
    """Send what TensorFlow's C++ writes to standard error while it starts into `path`; no setting silences it."""
    sys.stderr.flush()
    kept = os.dup(2)
    with path.open("ab") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def log_to(path: Path) -> None:
    written, shown = logging.FileHandler(path), logging.StreamHandler()
    written.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    written.formatter.converter = time.gmtime
    shown.setFormatter(logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[written, shown], force=True)
    logging.getLogger("tf2onnx").setLevel(logging.WARNING)
