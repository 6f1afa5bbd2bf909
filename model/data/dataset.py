"""Load labelled radiographs, refuse leaks between the splits, and split off a validation part by patient."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from model.data import sources
from model.data.sources import DataError, Entry
from model.images.decode import Picture, to_input

__all__ = ["DataError", "DataSet", "Sample", "arrays", "check", "load", "picture", "read", "split"]

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Listed = TypeVar("Listed", Entry, "Sample")
Result = TypeVar("Result")

EXAMPLES = 5  # listed in an error message


@dataclass(frozen=True)
class Sample:
    """A picture for training or measuring.

    label: 0 normal, 1 pneumonia. split: "train", "validation" or "test". entry: the source of its pixels.
    sha256: of the file's bytes; pixel_sha256: of the decoded grey pixels and their size.
    """

    name: str
    label: int
    patient: str
    subtype: str
    split: str
    sha256: str
    pixel_sha256: str
    entry: Entry


@dataclass(frozen=True)
class DataSet:
    """Samples without leaks between the splits; `manifest_sha256` depends on the pictures, not on their location.

    dropped: the number of duplicate training pictures that were left out.
    """

    name: str
    samples: tuple[Sample, ...]
    manifest_sha256: str
    dropped: int = 0

    def part(self, split: str) -> tuple[Sample, ...]:
        """The samples of "train", "validation" or "test" in the order of the source."""
        return tuple(sample for sample in self.samples if sample.split == split)

    def counts(self) -> dict[str, int]:
        """The number of samples per split."""
        return {split: len(self.part(split)) for split in ("train", "validation", "test")}


def load(source: Path | str) -> DataSet:
    """Load a folder tree, a manifest CSV or a PneumoniaMNIST .npz, and read every picture once.

    The official "val" split of 16 pictures becomes part of train. Duplicates (equal pixels) within train are dropped
    with a warning. Raises DataError for unreadable files, equal pixels with two labels, equal pixels or patients
    (patient and subtype) in both train and test, and if train lacks a class.
    """
    source = Path(source).resolve()
    samples = _samples(sources.entries(source))
    _refuse_two_labels(samples)
    _refuse_shared(samples, "equal pictures", lambda sample: sample.pixel_sha256)
    _refuse_shared(samples, "patients", lambda sample: (sample.patient, sample.subtype))
    unique = _without_duplicates(samples)
    _require_both_classes(source, unique)
    return DataSet(_name(source), unique, _manifest_sha256(samples), len(samples) - len(unique))


def check(source: Path | str) -> str:
    """Check a data set for a training as far as that is possible without reading a picture; returns its name.

    Raises DataError for what load() and split() would refuse by the list of the pictures alone.
    """
    source = Path(source).resolve()
    entries = sources.entries(source)
    _refuse_shared(entries, "patients", lambda entry: (entry.patient, entry.subtype))
    train = [entry for entry in entries if entry.split == "train"]
    _require_both_classes(source, train)
    _require_patients(min(len({entry.patient for entry in train if entry.label == label}) for label in (0, 1)))
    return _name(source)


def split(dataset: DataSet, share: float, seed: int) -> DataSet:
    """Split off about `share` of train as validation, by patient and stratified by class.

    Patients are identified by their number alone, while load() compares number and subtype: "person12" with bacteria
    and with virus may be two people, but the publisher does not say, and keeping both on one side costs nothing.
    Uses StratifiedGroupKFold of scikit-learn; the same seed gives the same split. Raises DataError if train has too
    few patients.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    train = dataset.part("train")
    labels = np.array([sample.label for sample in train])
    patients = np.array([sample.patient for sample in train])
    fewest = min(len(set(patients[labels == label])) for label in (0, 1))
    _require_patients(fewest)
    folds = min(max(2, round(1 / share)), fewest)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    _, validation = next(iter(splitter.split(labels, labels, patients)))
    if len(set(labels[validation])) < 2:
        raise DataError("the validation part lacks a class: train has too few patients; add pictures")
    # By entry, because names may repeat between the two label folders.
    chosen = {train[index].entry for index in validation}
    samples = tuple(
        replace(sample, split="validation") if sample.entry in chosen else sample for sample in dataset.samples
    )
    return replace(dataset, samples=samples)


def picture(sample: Sample) -> Picture:
    """The decoded picture of a sample."""
    return sources.read(sample.entry)[0]


def read(sample: Sample) -> Image.Image:
    """The grey picture (mode "L") of a sample in its original size."""
    return picture(sample).grey


def arrays(samples: Sequence[Sample], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(pixels uint8 [n, height, width, 1], labels int64 [n]) by images.decode.to_input.

    to_input returns integers in 0..255, so uint8 is exact and takes a quarter of the memory.
    """
    pixels = np.empty((len(samples), height, width, 1), np.uint8)

    def fill(index: int) -> None:
        pixels[index] = to_input(read(samples[index]), height, width)

    _parallel(fill, range(len(samples)))
    return pixels, np.array([sample.label for sample in samples], np.int64)


def _samples(entries: Sequence[Entry]) -> list[Sample]:
    """Read every picture. Raises one DataError for all that cannot be read: they can be repaired together."""

    def attempt(entry: Entry) -> Sample | DataError:
        try:
            return _sample(entry)
        except DataError as error:
            return error

    read_samples = _parallel(attempt, entries)
    errors = list(dict.fromkeys(str(error) for error in read_samples if isinstance(error, DataError)))
    if errors:
        several = f"{len(errors)} pictures cannot be used: " if len(errors) > 1 else ""
        raise DataError(several + _first(errors))
    return [sample for sample in read_samples if isinstance(sample, Sample)]


def _sample(entry: Entry) -> Sample:
    decoded, sha256 = sources.read(entry)
    grey = decoded.grey
    pixels = hashlib.sha256(f"{grey.width}x{grey.height}:".encode() + grey.tobytes()).hexdigest()
    return Sample(entry.name, entry.label, entry.patient, entry.subtype, entry.split, sha256, pixels, entry)


def _parallel(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    # Pillow and hashlib release the interpreter lock, so threads suffice.
    with ThreadPoolExecutor() as pool:
        return list(pool.map(work, items))


def _refuse_two_labels(samples: Sequence[Sample]) -> None:
    labels = defaultdict(set)
    for sample in samples:
        labels[sample.pixel_sha256].add(sample.label)
    contradictory = [sample.name for sample in samples if len(labels[sample.pixel_sha256]) > 1]
    if contradictory:
        raise DataError(
            f"{len(contradictory)} pictures are both NORMAL and PNEUMONIA: {_first(contradictory)}. "
            "Decide the label of each and remove the other copy."
        )


def _name(source: Path) -> str:
    named = source.parent if source.name == "manifest.csv" else source
    return named.name if named.is_dir() else named.stem


def _require_both_classes(source: Path, samples: Sequence[Listed]) -> None:
    if len({sample.label for sample in samples if sample.split == "train"}) < 2:
        raise DataError(f"{source}: train must contain both NORMAL and PNEUMONIA pictures")


def _require_patients(fewest: int) -> None:
    """`fewest`: the patients in train of the class that has fewer."""
    if fewest < 2:
        raise DataError("a validation part requires at least two patients of each class in train; add pictures")


def _refuse_shared(samples: Sequence[Listed], what: str, key: Callable[[Listed], object]) -> None:
    members = defaultdict(list)
    for sample in samples:
        members[key(sample)].append(sample)
    shared = [group for group in members.values() if len({sample.split for sample in group}) > 1]
    if shared:
        examples = [" = ".join(f"{sample.split}/{sample.name}" for sample in group[:3]) for group in shared]
        raise DataError(
            f"{len(shared)} {what} are in both train and test: {_first(examples)}. "
            "Metrics on them would be too good; remove them from one split, or list the pictures in a manifest CSV."
        )


def _without_duplicates(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The samples without duplicate training pictures; the test split stays as published."""
    seen: set[str] = set()
    unique = []
    for sample in samples:
        if sample.split == "train" and sample.pixel_sha256 in seen:
            continue
        seen.add(sample.pixel_sha256)
        unique.append(sample)
    if len(unique) < len(samples):
        log.warning("left out %d duplicate training pictures", len(samples) - len(unique))
    return tuple(unique)


def _first(examples: Sequence[str]) -> str:
    return "; ".join(examples[:EXAMPLES]) + (" ..." if len(examples) > EXAMPLES else "")


def _manifest_sha256(samples: Iterable[Sample]) -> str:
    rows = sorted((sample.split, sample.label, sample.name, sample.sha256) for sample in samples)
    return hashlib.sha256("\n".join(" ".join(map(str, row)) for row in rows).encode()).hexdigest()
