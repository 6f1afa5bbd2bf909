"""The directory of a training run: its lock, its saved settings and its log."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.files import write_json
from model.settings import TrainSettings

if TYPE_CHECKING:
    from model.data.dataset import DataSet

SETTINGS, RUN, HISTORY, LOG = "settings.json", "run.json", "history.json", "train.log"
BEST, BUNDLE, CHECKPOINTS, FEATURES, LOCK = "best.keras", "bundle", "checkpoints", "features", "lock"

# What the same settings mean: raise it when the augmentation or the shifted copies change. Runs that do not state it
# are of the first one.
RECIPE = 3


class CheckpointError(Exception):
    """A run that cannot be resumed from its directory; the message says why and what to do."""


class UsageError(Exception):
    """Invalid arguments; the message is one line for the person who typed them."""


def prepare(out: Path, resume: bool) -> None:
    """Make the run directory. Raises UsageError if it holds a run and `resume` is not set, or the reverse."""
    if resume and not (out / SETTINGS).is_file() and not (out / LOG).is_file():
        raise UsageError(f"{out} holds no run to resume; omit --resume to start one")
    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not empty; give --resume to continue its run, or another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror}; give another --out") from error


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Lock the run directory; the system releases the lock when the process ends. Raises UsageError if it is locked."""
    with (out / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                f"another process is training in {out}; wait until it ends, or give another --out"
            ) from error
        yield


def saved_settings(out: Path) -> TrainSettings | None:
    """The settings that the run was started with, or None if it was killed before it saved them."""
    path = out / SETTINGS
    return TrainSettings.from_dict(json.loads(path.read_text())["settings"]) if path.is_file() else None


def description(out: Path, **given: Any) -> dict[str, Any]:
    """The `name` of the bundle, and the `source` and `ages` of its data, as given now or when the run was started.

    Empty values count as not given.
    """
    path = out / SETTINGS
    earlier = json.loads(path.read_text()).get("bundle", {}) if path.is_file() else {}
    return {**earlier, **{key: value for key, value in given.items() if value}}


def record_settings(out: Path, settings: TrainSettings, dataset: DataSet, description: Mapping[str, Any]) -> str:
    """Write settings.json; returns the hash of recipe, settings and data: the fingerprint of the checkpoints.

    description: of the bundle. It may change when a run is resumed, so it is no part of the hash.
    Raises CheckpointError if the run was started with other data, or by a version with another recipe.
    """
    data = {"name": dataset.name, "manifest_sha256": dataset.manifest_sha256, **dataset.counts()}
    document = {"settings": settings.to_dict(), "data": data, "recipe": RECIPE}
    path = out / SETTINGS
    started = json.loads(path.read_text()) if path.is_file() else document
    if started["data"] != data:
        raise CheckpointError(f"the run in {out} was started with other data; start a new run for new data")
    if started.get("recipe", 1) != RECIPE:
        raise CheckpointError(
            f"the run in {out} was started by a version of model.train that alters the films in another way; start a "
            "new run"
        )
    write_json(path, {**document, "bundle": dict(description)})
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


@contextmanager
def stderr_to(path: Path) -> Iterator[None]:
    """Append to `path` what is written to standard error, as TensorFlow's C++ code does; no setting silences that."""
    sys.stderr.flush()
    saved = os.dup(2)
    with path.open("ab") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Log to `path` with UTC times, and the bare messages to standard error; the loggers are restored at the end."""
    to_file, to_stderr = logging.FileHandler(path), logging.StreamHandler()
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    to_file.formatter.converter = time.gmtime
    to_stderr.setFormatter(logging.Formatter("%(message)s"))
    handlers, level, converter = logging.root.handlers, logging.root.level, logging.getLogger("tf2onnx")
    converter_level = converter.level
    logging.root.handlers = [to_file, to_stderr]
    logging.root.setLevel(logging.INFO)
    converter.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logging.root.handlers = handlers
        logging.root.setLevel(level)
        converter.setLevel(converter_level)
        to_file.close()
