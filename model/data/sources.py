"""List the labelled pictures of a folder tree, a manifest CSV or a MedMNIST file, and read one of them."""

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
from model.images.limits import Refused

LABELS = {"NORMAL": 0, "PNEUMONIA": 1, "0": 0, "1": 1}
LABEL_NAMES = ("NORMAL", "PNEUMONIA")
# The official validation split has 16 pictures: useless to choose with, so it is trained on.
SPLITS = {"train": "train", "val": "train", "validation": "train", "test": "test"}
SUFFIXES = {".jpeg", ".jpg", ".png", ".dcm"}

_PERSON = re.compile(r"(person\d+)_(bacteria|virus)_\d+(?:_\d+)?$", re.IGNORECASE)
_SERIES = re.compile(r"((?:NORMAL2-)?IM-\d+)-\d+", re.IGNORECASE)


class DataError(Exception):
    """Data that must not be trained on; the message says what is wrong, where, and how to mend it."""


@dataclass(frozen=True)
class Entry:
    """One labelled picture as its source lists it, not read yet.

    path: the file that holds it; row: its split and number in an .npz, else None.
    sha256: as the source states it, or "".
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
        found = list(_tree(source))
    elif source.suffix.lower() == ".npz" and source.is_file():
        found = list(_medmnist(source))
    elif source.suffix.lower() == ".csv" and source.is_file():
        found = list(_manifest(source))
    else:
        raise DataError(f"{source} is no folder, .npz or .csv; give the folder that holds train/ and test/")
    if not found:
        raise DataError(f"{source} holds no pictures; expected train/NORMAL/*.jpeg, train/PNEUMONIA/*.jpeg and so on")
    return found


def identity(name: str, label: int) -> tuple[str, str]:
    """(patient, subtype) told by a picture's file name; a name that tells none is a patient of its own.

    "person12_bacteria_34" is person12 with bacteria. "IM-0117-0001" and "NORMAL2-IM-0117-0001" are two people:
    the numbering of the second series starts anew.
    """
    stem = Path(name).stem
    if person := _PERSON.match(stem):
        return person[1].lower(), person[2].lower()
    subtype = LABEL_NAMES[label].lower()
    if series := _SERIES.match(stem):
        return series[1].upper(), subtype
    return stem, subtype


def read(entry: Entry) -> tuple[Picture, str]:
    """Decode one picture; returns it with the sha256 of its bytes. Raises DataError naming the file."""
    if entry.row is not None:
        split, row = entry.row
        pixels = _array(entry.path, f"{split}_images")[row]
        grey = Image.fromarray(pixels)
        return Picture(grey, "NPZ", grey.width, grey.height, 0.0), hashlib.sha256(pixels.tobytes()).hexdigest()
    try:
        content = entry.path.read_bytes()
        picture = decode(content)
    except OSError as error:
        raise DataError(f"{entry.path}: {error.strerror}; mend or remove it from the data") from error
    except Refused as refusal:
        raise DataError(f"{entry.path}: {refusal.reason}; mend the file or remove it from the data") from refusal
    digest = hashlib.sha256(content).hexdigest()
    if entry.sha256 and digest != entry.sha256:
        raise DataError(f"{entry.path}: its sha256 is not the manifest's; fetch the file again")
    return picture, digest


def _tree(root: Path) -> Iterator[Entry]:
    for split in sorted(path for path in root.iterdir() if path.name.lower() in SPLITS):
        for folder in sorted(path for path in split.iterdir() if path.is_dir()):
            if folder.name.upper() not in LABEL_NAMES:
                raise DataError(f"{folder}: unknown label; the folders are called {' and '.join(LABEL_NAMES)}")
            label = LABELS[folder.name.upper()]
            for path in sorted(folder.iterdir()):
                # Archives made on a Mac leave hidden files beside the pictures.
                if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                    yield Entry(path, path.name, label, SPLITS[split.name.lower()], *identity(path.name, label))


def _manifest(path: Path) -> Iterator[Entry]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        missing = {"split", "label", "file"} - set(rows.fieldnames or ())
        if missing:
            raise DataError(f"{path}: no column {', '.join(sorted(missing))}; needed are split, label and file")
        for number, row in enumerate(rows, start=2):
            yield _manifest_entry(path, number, row)


def _manifest_entry(manifest: Path, number: int, row: dict[str, str]) -> Entry:
    split, label = SPLITS.get((row["split"] or "").lower()), LABELS.get((row["label"] or "").upper())
    if split is None or label is None:
        raise DataError(f"{manifest} line {number}: split must be train, val or test, label NORMAL or PNEUMONIA")
    places = (manifest.parent / row["split"] / row["label"] / row["file"], manifest.parent / row["file"])
    place = next((place for place in places if place.is_file()), None)
    if place is None:
        raise DataError(f"{manifest} line {number}: no file {places[0]}; fetch it or remove the line")
    patient, subtype = identity(row["file"], label)
    patient, subtype = row.get("patient_id") or patient, row.get("subtype") or subtype
    return Entry(place, place.name, label, split, patient, subtype, sha256=(row.get("sha256") or "").lower())


def _medmnist(path: Path) -> Iterator[Entry]:
    for split in ("train", "val", "test"):
        for row, label in enumerate(_labels(path, split)):
            # MedMNIST does not say whose picture it is, so each is its own patient.
            name = f"{split}-{row:05d}"
            yield Entry(path, name, int(label), SPLITS[split], name, LABEL_NAMES[int(label)].lower(), (split, row))


def _labels(path: Path, split: str) -> np.ndarray:
    labels, images = _array(path, f"{split}_labels").reshape(-1), _array(path, f"{split}_images")
    if images.ndim != 3 or images.dtype != np.uint8 or len(images) != len(labels):
        raise DataError(f"{path}: {split}_images must be uint8 [n, height, width] with a label each")
    if not set(np.unique(labels)) <= {0, 1}:
        raise DataError(f"{path}: {split}_labels must be 0 or 1; is this PneumoniaMNIST?")
    return labels


@lru_cache(maxsize=8)
def _array(path: Path, key: str) -> np.ndarray:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return archive[key]
    except KeyError as error:
        raise DataError(f"{path}: no array {key}; is this PneumoniaMNIST?") from error
    except (OSError, ValueError, BadZipFile) as error:
        raise DataError(f"{path}: damaged or no .npz ({error}); fetch the file again") from error
