"""List the labelled pictures of a folder tree, a manifest CSV or a MedMNIST file, and read a picture."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from PIL import Image

from model.images.decode import Picture, decode
from model.images.limits import SUFFIXES, Refused

LABELS = {"NORMAL": 0, "PNEUMONIA": 1, "0": 0, "1": 1}
LABEL_NAMES = ("NORMAL", "PNEUMONIA")
# The official validation split has 16 pictures: too few for validation, so it is used for training.
SPLITS = {"train": "train", "val": "train", "validation": "train", "test": "test"}

_PERSON = re.compile(r"(person\d+)_(bacteria|virus)_\d+(?:_\d+)?$", re.IGNORECASE)
_SERIES = re.compile(r"((?:NORMAL2-)?IM-\d+)-\d+", re.IGNORECASE)


class DataError(Exception):
    """Data that must not be used for training; the message says what is wrong, where, and how to fix it."""


@dataclass(frozen=True)
class Entry:
    """A labelled picture as its source lists it, not read yet.

    path: the file that contains it; row: its split and number in an .npz, else None.
    sha256: as stated by the source, or "".
    """

    path: Path
    name: str
    label: int
    split: str
    patient: str
    subtype: str
    row: tuple[str, int] | None = None
    sha256: str = ""


def entries(source: Path) -> list[Entry]:
    """List the pictures of `source`: a folder with train/test x NORMAL/PNEUMONIA, a .csv or a .npz.

    Raises DataError for anything else, for an unknown label and for a listed file that is missing.
    """
    if source.is_dir():
        listed = list(_tree(source))
    elif source.suffix.lower() == ".npz" and source.is_file():
        listed = list(_medmnist(source))
    elif source.suffix.lower() == ".csv" and source.is_file():
        try:
            listed = list(_manifest(source))
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{source}: it is not a CSV file in UTF-8 ({error})") from error
    else:
        raise DataError(f"{source} is not a folder, .npz or .csv; give the folder that contains train/ and test/")
    if not listed:
        raise DataError(
            f"{source} contains no pictures; expected train/NORMAL/*.jpeg, train/PNEUMONIA/*.jpeg and so on"
        )
    return listed


def identity(name: str, label: int) -> tuple[str, str]:
    """(patient, subtype) from the file name of a picture; a name without a patient number counts as a patient.

    "person12_bacteria_34" is person12 with bacteria. "IM-0117-0001" and "NORMAL2-IM-0117-0001" are two patients:
    the second series has its own numbering.
    """
    stem = Path(name).stem
    if person := _PERSON.match(stem):
        return person[1].lower(), person[2].lower()
    subtype = LABEL_NAMES[label].lower()
    if series := _SERIES.match(stem):
        return series[1].upper(), subtype
    return stem, subtype


def read(entry: Entry) -> tuple[Picture, str]:
    """Decode a picture; returns it with the sha256 of its bytes. Raises DataError with the name of the file."""
    if entry.row is not None:
        split, row = entry.row
        pixels = _array(entry.path, f"{split}_images")[row]
        grey = Image.fromarray(pixels)
        return Picture(grey, "NPZ", grey.width, grey.height, 0.0), hashlib.sha256(pixels.tobytes()).hexdigest()
    try:
        content = entry.path.read_bytes()
        picture = decode(content)
    except OSError as error:
        raise DataError(f"{entry.path}: {error.strerror}; repair it or remove it from the data") from error
    except Refused as refusal:
        raise DataError(f"{entry.path}: {refusal.reason}; repair the file or remove it from the data") from refusal
    digest = hashlib.sha256(content).hexdigest()
    if entry.sha256 and digest != entry.sha256:
        raise DataError(f"{entry.path}: its sha256 differs from the manifest; download the file again")
    return picture, digest


def _tree(root: Path) -> Iterator[Entry]:
    for split in sorted(path for path in root.iterdir() if path.name.lower() in SPLITS):
        for folder in sorted(path for path in split.iterdir() if path.is_dir()):
            if folder.name.upper() not in LABEL_NAMES:
                raise DataError(f"{folder}: unknown label; the folders must be named {' and '.join(LABEL_NAMES)}")
            label = LABELS[folder.name.upper()]
            for path in sorted(folder.iterdir()):
                # Archives made on macOS contain hidden files beside the pictures.
                if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                    yield Entry(path, path.name, label, SPLITS[split.name.lower()], *identity(path.name, label))


def _manifest(path: Path) -> Iterator[Entry]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        missing = {"split", "label", "file"} - set(rows.fieldnames or ())
        if missing:
            raise DataError(
                f"{path}: it has no column {', '.join(sorted(missing))}; split, label and file are required"
            )
        for number, row in enumerate(rows, start=2):
            yield _manifest_entry(path, number, row)


def _manifest_entry(manifest: Path, number: int, row: dict[str, str]) -> Entry:
    split, label = SPLITS.get((row["split"] or "").lower()), LABELS.get((row["label"] or "").upper())
    if split is None or label is None:
        raise DataError(f"{manifest} line {number}: split must be train, val or test, label NORMAL or PNEUMONIA")
    candidates = (manifest.parent / row["split"] / row["label"] / row["file"], manifest.parent / row["file"])
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise DataError(f"{manifest} line {number}: there is no file {candidates[0]}; add it or remove the line")
    patient, subtype = identity(row["file"], label)
    patient, subtype = row.get("patient_id") or patient, row.get("subtype") or subtype
    return Entry(path, path.name, label, split, patient, subtype, sha256=(row.get("sha256") or "").lower())


def _medmnist(path: Path) -> Iterator[Entry]:
    for split in ("train", "val", "test"):
        for row, label in enumerate(_labels(path, split)):
            # MedMNIST does not state patients, so each picture counts as one.
            name = f"{split}-{row:05d}"
            yield Entry(path, name, int(label), SPLITS[split], name, LABEL_NAMES[int(label)].lower(), (split, row))


def _labels(path: Path, split: str) -> np.ndarray:
    labels, images = _array(path, f"{split}_labels").reshape(-1), _array(path, f"{split}_images")
    if images.ndim != 3 or images.dtype != np.uint8 or len(images) != len(labels):
        raise DataError(f"{path}: {split}_images must be uint8 [n, height, width] with one label per picture")
    if not set(np.unique(labels)) <= {0, 1}:
        raise DataError(f"{path}: {split}_labels must be 0 or 1; is this PneumoniaMNIST?")
    return labels


@lru_cache(maxsize=8)
def _array(path: Path, key: str) -> np.ndarray:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return archive[key]
    except KeyError as error:
        raise DataError(f"{path}: it has no array {key}; is this PneumoniaMNIST?") from error
    except (OSError, ValueError, BadZipFile) as error:
        raise DataError(f"{path}: it is damaged or not an .npz file ({error}); download it again") from error
