"""Open what a bundle is made from: a finished training run, or an existing bundle whose networks are kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model import bundle as bundles
from model.bundle import Bundle
from model.bundling.onnx import compare
from model.bundling.provenance import Origin
from model.data import attribution
from model.data import dataset as data
from model.data.dataset import DataSet
from model.run_dir import BEST, HISTORY, SETTINGS, description
from model.settings import TrainSettings, bundle_name, choose

if TYPE_CHECKING:
    import keras

KERAS_FILE = "model.keras"
HISTORY_PLOT = "report/history.png"


@dataclass(frozen=True)
class Trained:
    """A trained network with its settings and its data, split as in training.

    name, source, ages: defaults of the new bundle; history: figures of each epoch; base: the bundle that it was read
    from; recipe: with which it was trained, 1 if that is not stated.
    """

    model: keras.Model
    settings: TrainSettings
    dataset: DataSet
    name: str
    source: str = ""
    ages: Sequence[int] | None = None
    history: Sequence[Mapping[str, float]] = ()
    base: Bundle | None = None
    recipe: int = 1

    def origin(self, source: str, ages: Sequence[int] | None, license_id: str) -> Origin:
        """The provenance for the card of a new bundle: what is given, else what the run or the bundle states."""
        stated = str(self.base.manifest.get("license", "")) if self.base else ""
        return Origin(source or self.source, ages or self.ages, license=license_id or stated, recipe=self.recipe)


def open_trained(directory: Path, source: Path) -> Trained:
    """Open a run directory or a bundle with the data that it was trained on. Raises ValueError for other data."""
    return _from_bundle(directory, source) if (directory / bundles.MANIFEST).exists() else _from_run(directory, source)


def default_name(settings: TrainSettings, dataset: DataSet) -> str:
    """The default name of a bundle: ARCH-DATA."""
    return bundle_name(settings.arch, dataset.name)


def _from_run(run: Path, source: Path) -> Trained:
    saved = json.loads((run / SETTINGS).read_text())
    settings = TrainSettings.from_dict(saved["settings"])
    dataset = _same_data(run, source, saved["data"]["manifest_sha256"], settings)
    history = json.loads((run / HISTORY).read_text())
    said = description(run)
    name = said.get("name") or default_name(settings, dataset)
    stated = said.get("source") or attribution.of_data(source)
    network, recipe = _network(run / BEST), saved.get("recipe", 1)
    return Trained(network, settings, dataset, name, stated, said.get("ages"), history=history, recipe=recipe)


def _from_bundle(directory: Path, source: Path) -> Trained:
    base = bundles.load(directory, deep=True)
    if KERAS_FILE not in base.manifest["files"] or "calibration" not in base.manifest:
        raise ValueError(f"{directory} lacks {KERAS_FILE} or its calibration; give the run that it was made from")
    later = {name: value for name, value in choose().to_dict().items() if name != "split_seed"}
    # A bundle of an earlier version lacks the settings that came later; their defaults are what it was trained with.
    settings = TrainSettings.from_dict({**later, **base.manifest["settings"]})
    facts = base.manifest["data"]
    dataset = _same_data(directory, source, facts["manifest_sha256"], settings)
    stated = attribution.name_of(facts["attribution"]) or attribution.of_data(source)
    ages = None if facts.get("ages") == attribution.ages(stated) else facts.get("ages")  # None: as the publishers state
    network, recipe = _network(directory / KERAS_FILE), base.manifest.get("recipe", 1)
    return Trained(network, settings, dataset, base.name, stated, ages, base=base, recipe=recipe)


def _same_data(trained: Path, source: Path, manifest_sha256: str, settings: TrainSettings) -> DataSet:
    dataset = data.load(source)
    if manifest_sha256 != dataset.manifest_sha256:
        raise ValueError(f"{source} is not the data that {trained} was trained on")
    return data.split(dataset, settings.validation_share, settings.split_seed)


def _network(path: Path) -> keras.Model:
    import keras

    return keras.models.load_model(path, compile=False)


def keep_networks(model: keras.Model, base: Bundle, work: Path) -> tuple[float, float]:
    """Copy the networks of `base` byte for byte, and its plot of the training; returns its (temperature, offset)."""
    for name in (KERAS_FILE, bundles.NETWORK, HISTORY_PLOT):
        if name in base.manifest["files"]:
            shutil.copyfile(base.directory / name, work / name)
    compare(model, work / bundles.NETWORK, base.temperature)
    return base.temperature, base.manifest["calibration"]["offset"]


def lineage(base: Bundle | None, test: bool) -> dict[str, Any]:
    """What the manifest says of earlier versions of the same network: how often its test part was read, and its base.

    A bundle that does not count the readings has figures of the test part, and was read once, or has none.
    """
    if base is None:
        return {"test_readings": int(test)}
    earlier = base.manifest.get("test_readings", int(base.manifest["metrics"].get("test") is not None))
    return {"test_readings": earlier + int(test), "base": base.version}
