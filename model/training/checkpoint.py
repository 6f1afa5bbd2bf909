"""Save and restore everything a run needs to go on bit for bit, surviving a kill at any moment."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.files import _flush, _flush_directory, sha256, write_json, write_text

log = logging.getLogger(__name__)


ARRAYS, STATE, MANIFEST, LATEST = "arrays.npz", "state.json", "manifest.json", "latest"


class CheckpointError(Exception):
    """A run that cannot be resumed from what lies in its directory; the message says why and what to do."""


class Checkpoints:
    """The checkpoints of one run, a directory each; the newest `keep` stay.

    A checkpoint is written beside its place and renamed, then `latest` is moved to it: a kill leaves either the
    old or the new one. `fingerprint` names settings and data; a checkpoint of other ones is refused.
    `saved` is told of each that was written.
    """

    def __init__(
        self, directory: Path, fingerprint: str, keep: int = 2, saved: Callable[[Path], None] = lambda _: None
    ) -> None:
        self.directory, self.fingerprint, self.keep, self.saved = directory, fingerprint, keep, saved

    def save(self, step: int, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> Path:
        """Write one checkpoint; `arrays` by name, `state` as JSON holds it."""
        place = self.directory / f"step-{step:08d}"
        beside = self.directory / f".writing-{os.getpid()}"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        with (beside / ARRAYS).open("wb") as file:
            np.savez(file, **arrays)
            _flush(file)
        write_json(beside / STATE, {"fingerprint": self.fingerprint, "step": step, **state})
        write_json(beside / MANIFEST, {name: sha256(beside / name) for name in (ARRAYS, STATE)})
        if place.exists():  # left by a run that was resumed from an older one
            shutil.rmtree(place)
        beside.rename(place)
        _flush_directory(self.directory)
        write_text(self.directory / LATEST, place.name)
        self._prune(place)
        self.saved(place)
        return place

    def restore(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The newest undamaged checkpoint as (arrays, state), or None when none was ever written.

        Raises CheckpointError when every one is damaged, or when settings or data are not the run's.
        """
        places = self._newest_first()
        for place in places:
            try:
                arrays, state = _read(place)
            except (OSError, ValueError, KeyError, CheckpointError) as error:
                log.warning("checkpoint %s is damaged (%s); trying the one before", place.name, error)
                continue
            if state["fingerprint"] != self.fingerprint:
                raise CheckpointError(
                    f"{place} was written with other settings or data; resume with the run's own, or start anew"
                )
            return arrays, state
        if places:
            raise CheckpointError(f"every checkpoint in {self.directory} is damaged; start a new run")
        return None

    def _newest_first(self) -> list[Path]:
        places = sorted(self.directory.glob("step-*"), reverse=True)
        latest = self.directory / LATEST
        name = latest.read_text().strip() if latest.is_file() else ""
        return sorted(places, key=lambda place: place.name != name)  # stable: `latest` first, then by number

    def _prune(self, newest: Path) -> None:
        others = [place for place in sorted(self.directory.glob("step-*")) if place != newest]
        for place in others[: max(0, len(others) - self.keep + 1)]:
            shutil.rmtree(place, ignore_errors=True)
        for left in self.directory.glob(".writing-*"):
            shutil.rmtree(left, ignore_errors=True)


def variables_to_arrays(variables: Sequence[Any], prefix: str) -> dict[str, np.ndarray]:
    """The values of Keras variables in their order, named by place and path."""
    return {
        f"{prefix}/{number:04d}/{variable.path.replace('/', '|')}": np.asarray(variable)
        for number, variable in enumerate(variables)
    }


def arrays_to_variables(arrays: Mapping[str, np.ndarray], variables: Sequence[Any], prefix: str) -> None:
    """Put saved values back; raises CheckpointError when names, shapes or types are not those of the network."""
    saved = {name: value for name, value in arrays.items() if name.startswith(prefix + "/")}
    wanted = variables_to_arrays(variables, prefix)
    facts = {name: (value.shape, value.dtype) for name, value in saved.items()}
    if facts != {name: (value.shape, value.dtype) for name, value in wanted.items()}:
        raise CheckpointError(f"the checkpoint's {prefix} variables are not this network's; start a new run")
    for (_, value), variable in zip(sorted(saved.items()), variables, strict=True):
        variable.assign(value)


def whole(place: Path) -> bool:
    """Whether a checkpoint has the contents that its manifest says."""
    try:
        manifest = json.loads((place / MANIFEST).read_text())
        return all(sha256(place / name) == manifest[name] for name in (ARRAYS, STATE))
    except (OSError, ValueError, KeyError):
        return False


def _read(place: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    manifest = json.loads((place / MANIFEST).read_text())
    for name in (ARRAYS, STATE):
        if sha256(place / name) != manifest[name]:
            raise CheckpointError(f"{name} has another sha256")
    with np.load(place / ARRAYS, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return arrays, json.loads((place / STATE).read_text())
