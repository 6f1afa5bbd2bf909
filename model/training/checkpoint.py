"""Save and restore the state of a run, so that it continues bit for bit; a kill always leaves a valid checkpoint."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.files import file_digest, flush, flush_directory, write_json, write_text
from model.run_dir import CheckpointError

log = logging.getLogger(__name__)
ARRAYS, STATE, MANIFEST, LATEST = "arrays.npz", "state.json", "manifest.json", "latest"


class Checkpoints:
    """The checkpoints of one run, one directory each; only the newest `max_to_keep` are kept.

    A checkpoint is written to a temporary directory and renamed, then the file `latest` is set to its name: a kill
    leaves the old or the new one. `fingerprint` is the hash of settings and data; a checkpoint with another one is
    refused. `on_saved` is called with the directory of each checkpoint that was written.
    """

    def __init__(
        self, directory: Path, fingerprint: str, max_to_keep: int = 2, on_saved: Callable[[Path], None] = lambda _: None
    ) -> None:
        self.directory, self.fingerprint = directory, fingerprint
        self.max_to_keep, self.on_saved = max_to_keep, on_saved

    def save(self, step: int, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> Path:
        """Write one checkpoint: `arrays` by name, `state` as JSON."""
        checkpoint = self.directory / f"step-{step:08d}"
        temporary = self.directory / f".writing-{os.getpid()}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        with (temporary / ARRAYS).open("wb") as file:
            np.savez(file, **arrays)
            flush(file)
        write_json(temporary / STATE, {"fingerprint": self.fingerprint, "step": step, **state})
        write_json(temporary / MANIFEST, {name: file_digest(temporary / name) for name in (ARRAYS, STATE)})
        if checkpoint.exists():  # from before the run was resumed from an older checkpoint
            shutil.rmtree(checkpoint)
        temporary.rename(checkpoint)
        flush_directory(self.directory)
        write_text(self.directory / LATEST, checkpoint.name)
        self._prune(checkpoint)
        self.on_saved(checkpoint)
        return checkpoint

    def restore(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The newest undamaged checkpoint as (arrays, state), or None if none was ever written.

        Raises CheckpointError if all are damaged, or if the newest has another fingerprint than the run.
        """
        checkpoints = self._newest_first()
        for checkpoint in checkpoints:
            try:
                arrays, state = _load(checkpoint)
            except (OSError, ValueError, KeyError, CheckpointError) as error:
                log.warning("checkpoint %s is damaged (%s); trying the previous one", checkpoint.name, error)
                continue
            if state["fingerprint"] != self.fingerprint:
                raise CheckpointError(
                    f"{checkpoint} was written with other settings or data, or by a version that alters the films in "
                    "another way; resume with those of the run, or start a new run"
                )
            return arrays, state
        if checkpoints:
            raise CheckpointError(f"every checkpoint in {self.directory} is damaged; start a new run")
        return None

    def _newest_first(self) -> list[Path]:
        checkpoints = sorted(self.directory.glob("step-*"), reverse=True)
        latest = self.directory / LATEST
        name = latest.read_text().strip() if latest.is_file() else ""
        return sorted(checkpoints, key=lambda path: path.name != name)  # stable: `latest` first, then by number

    def _prune(self, newest: Path) -> None:
        others = [path for path in sorted(self.directory.glob("step-*")) if path != newest]
        for checkpoint in others[: max(0, len(others) - self.max_to_keep + 1)]:
            shutil.rmtree(checkpoint, ignore_errors=True)
        for temporary in self.directory.glob(".writing-*"):
            shutil.rmtree(temporary, ignore_errors=True)


def variables_to_arrays(variables: Sequence[Any], prefix: str) -> dict[str, np.ndarray]:
    """The values of Keras variables in their order, named by position and path."""
    return {
        f"{prefix}/{number:04d}/{variable.path.replace('/', '|')}": np.asarray(variable)
        for number, variable in enumerate(variables)
    }


def arrays_to_variables(arrays: Mapping[str, np.ndarray], variables: Sequence[Any], prefix: str) -> None:
    """Assign saved values; raises CheckpointError if their names, shapes or types are not those of the network."""
    saved = {name: value for name, value in arrays.items() if name.startswith(prefix + "/")}
    current = variables_to_arrays(variables, prefix)
    saved_types = {name: (value.shape, value.dtype) for name, value in saved.items()}
    if saved_types != {name: (value.shape, value.dtype) for name, value in current.items()}:
        raise CheckpointError(f"the {prefix} variables of the checkpoint do not fit this network; start a new run")
    for (_, value), variable in zip(sorted(saved.items()), variables, strict=True):
        variable.assign(value)


def is_intact(checkpoint: Path) -> bool:
    """Whether the files of a checkpoint are complete and have the digests of its manifest."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text())
        return all(file_digest(checkpoint / name) == manifest[name] for name in (ARRAYS, STATE))
    except (OSError, ValueError, KeyError):
        return False


def _load(checkpoint: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    manifest = json.loads((checkpoint / MANIFEST).read_text())
    for name in (ARRAYS, STATE):
        if file_digest(checkpoint / name) != manifest[name]:
            raise CheckpointError(f"{name} does not have the recorded sha256")
    with np.load(checkpoint / ARRAYS, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return arrays, json.loads((checkpoint / STATE).read_text())
