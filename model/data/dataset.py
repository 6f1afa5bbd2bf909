"""Load labelled radiographs, refuse leaks between the splits, cut a validation part by patient."""

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

__all__ = ["DataError", "DataSet", "Sample", "arrays", "load", "picture", "read", "split"]

log = logging.getLogger(__name__)
In = TypeVar("In")
Out = TypeVar("Out")

EXAMPLES = 5  # how many offenders an error names


@dataclass(frozen=True)
class Sample:
    """One picture that may be trained on or measured with.

    label: 0 normal, 1 pneumonia. split: "train", "validation" or "test". entry: where its pixels lie.
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
    """Samples, free of leaks between the splits; `manifest_sha256` is the same for the same pictures anywhere.

    dropped: how many copies of a training picture were left out.
    """

    name: str
    samples: tuple[Sample, ...]
    manifest_sha256: str
    dropped: int = 0

    def part(self, split: str) -> tuple[Sample, ...]:
        """The samples of "train", "validation" or "test", in the order of the source."""
        return tuple(sample for sample in self.samples if sample.split == split)

    def counts(self) -> dict[str, int]:
        """How many samples each split has."""
        return {split: len(self.part(split)) for split in ("train", "validation", "test")}


def load(source: Path | str) -> DataSet:
    """Read every picture of a folder tree, a manifest CSV or a PneumoniaMNIST .npz once.

    The official 16-picture "val" is counted as train. Copies (equal pixels) within train are dropped with a
    warning. Raises DataError for unreadable files, equal pixels with two labels, equal pixels or patients
    (patient and subtype) on both sides of a split, and when train lacks a class.
    """
    source = Path(source).resolve()
    samples = _parallel(_sample, sources.entries(source))
    _refuse_two_labels(samples)
    _refuse_shared(samples, "equal pictures", lambda sample: sample.pixel_sha256)
    _refuse_shared(samples, "patients", lambda sample: (sample.patient, sample.subtype))
    kept = _without_copies(samples)
    labels = {sample.label for sample in kept if sample.split == "train"}
    if len(labels) < 2:
        raise DataError(f"{source}: train must hold both NORMAL and PNEUMONIA pictures")
    place = source.parent if source.name == "manifest.csv" else source
    name = place.name if place.is_dir() else place.stem
    return DataSet(name, kept, _manifest_sha256(samples), len(samples) - len(kept))


def split(dataset: DataSet, share: float, seed: int) -> DataSet:
    """Cut about `share` of train off as validation: no person on both sides, each class in proportion.

    Persons are told by patient number alone although load() compares patient and subtype: "person12" with
    bacteria and with virus look like two people, but nobody has said so, and keeping both on one side costs
    nothing. scikit-learn's StratifiedGroupKFold makes the cut; the same seed gives the same cut.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    train = dataset.part("train")
    labels = np.array([sample.label for sample in train])
    people = np.array([sample.patient for sample in train])
    fewest = min(len(set(people[labels == label])) for label in (0, 1))
    folds = min(max(2, round(1 / share)), fewest)
    if folds < 2:
        raise DataError("a validation part needs at least two patients of each class in train; add pictures")
    cutter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    _, held = next(iter(cutter.split(labels, labels, people)))
    if len(set(labels[held])) < 2:
        raise DataError("the validation part lacks a class: train has too few patients; add pictures")
    # Names may repeat between the two label folders; where the pixels lie is unique.
    cut = {train[index].entry for index in held}
    samples = tuple(
        replace(sample, split="validation") if sample.entry in cut else sample for sample in dataset.samples
    )
    return replace(dataset, samples=samples)


def picture(sample: Sample) -> Picture:
    """The decoded picture of a sample, as images.decode gives it."""
    return sources.read(sample.entry)[0]


def read(sample: Sample) -> Image.Image:
    """The grey picture (mode "L") of a sample, in its own size."""
    return picture(sample).grey


def arrays(samples: Sequence[Sample], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(pixels uint8 [n, height, width, 1], labels int64 [n]) through images.to_input.

    to_input gives whole numbers in 0..255, so uint8 holds them exactly at a quarter of the memory.
    """
    pixels = np.empty((len(samples), height, width, 1), np.uint8)

    def place(index: int) -> None:
        pixels[index] = to_input(read(samples[index]), height, width)

    _parallel(place, range(len(samples)))
    return pixels, np.array([sample.label for sample in samples], np.int64)


def _sample(entry: Entry) -> Sample:
    decoded, sha256 = sources.read(entry)
    grey = decoded.grey
    pixels = hashlib.sha256(f"{grey.width}x{grey.height}:".encode() + grey.tobytes()).hexdigest()
    return Sample(entry.name, entry.label, entry.patient, entry.subtype, entry.split, sha256, pixels, entry)


def _parallel(work: Callable[[In], Out], items: Iterable[In]) -> list[Out]:
    # Pillow and hashlib let go of the interpreter lock, so threads are enough.
    with ThreadPoolExecutor() as pool:
        return list(pool.map(work, items))


def _refuse_two_labels(samples: Sequence[Sample]) -> None:
    labels = defaultdict(set)
    for sample in samples:
        labels[sample.pixel_sha256].add(sample.label)
    bad = [sample.name for sample in samples if len(labels[sample.pixel_sha256]) > 1]
    if bad:
        raise DataError(
            f"{len(bad)} pictures are both NORMAL and PNEUMONIA: {_first(bad)}. "
            "Decide each one's label and remove the other copy."
        )


def _refuse_shared(samples: Sequence[Sample], what: str, key: Callable[[Sample], object]) -> None:
    members = defaultdict(list)
    for sample in samples:
        members[key(sample)].append(sample)
    shared = [group for group in members.values() if len({sample.split for sample in group}) > 1]
    if shared:
        examples = [" = ".join(f"{sample.split}/{sample.name}" for sample in group[:3]) for group in shared]
        raise DataError(
            f"{len(shared)} {what} are in both train and test: {_first(examples)}. "
            "A test on them would flatter; remove them from one side, or list the pictures to use in a manifest CSV."
        )


def _without_copies(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """Without the second and later copies of a training picture; the test split stays as published."""
    seen: set[str] = set()
    kept = []
    for sample in samples:
        if sample.split == "train" and sample.pixel_sha256 in seen:
            continue
        seen.add(sample.pixel_sha256)
        kept.append(sample)
    if len(kept) < len(samples):
        log.warning("%d copies of training pictures left out", len(samples) - len(kept))
    return tuple(kept)


def _first(examples: Sequence[str]) -> str:
    return "; ".join(examples[:EXAMPLES]) + (" ..." if len(examples) > EXAMPLES else "")


def _manifest_sha256(samples: Iterable[Sample]) -> str:
    rows = sorted((sample.split, sample.label, sample.name, sample.sha256) for sample in samples)
    return hashlib.sha256("\n".join(" ".join(map(str, row)) for row in rows).encode()).hexdigest()
