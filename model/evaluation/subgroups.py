"""The figures of subgroups of pictures: by view and by the patient's age, from the headers or from a table."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from model.data.dataset import Sample
from model.data.sources import DataError
from model.evaluation.metrics import evaluate
from model.images.dicom_header import Stated

UNKNOWN = "unknown"
VIEWS = ("AP", "PA", UNKNOWN)
# The first: those on whom the shipped model was trained are 1 to 5. 18 and 65: adults, and the old.
AGES = {"under 1": (0, 1), "1 to 5": (1, 6), "6 to 17": (6, 18), "18 to 64": (18, 65), "65 and older": (65, math.inf)}
GROUPS = {"view": VIEWS, "age": (*AGES, UNKNOWN)}
_RATES = ("n", "positives", "negatives", "sensitivity", "specificity", "auc")


class Row(NamedTuple):
    """What a table says of a picture: the view and the age group, UNKNOWN where it says nothing."""

    view: str
    age: str


Table = Mapping[str, Row]
NOTHING: Row = Row(UNKNOWN, UNKNOWN)


def read_table(path: Path) -> Table:
    """Read a CSV file with the columns `file`, and `view` (AP, PA or empty) or `age` (years or empty) or both.

    Other columns are ignored. `file` is the name of a picture, or its path from the labelled folder. Raises DataError.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if "file" not in (reader.fieldnames or ()) or not {"view", "age"} & set(reader.fieldnames or ()):
                raise DataError(f"{path}: it needs the column file, and view or age or both")
            table: dict[str, Row] = {}
            for number, row in enumerate(reader, start=2):
                entry = Row(_view(row.get("view"), path, number), _age(row.get("age"), path, number))
                if table.setdefault(row["file"], entry) != entry:
                    raise DataError(f"{path} line {number}: this file is there before, with another view or age")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: it cannot be read as a CSV file: {error}") from error
    return table


def figures(
    samples: Sequence[Sample],
    stated: Sequence[Stated],
    probabilities: np.ndarray,
    refused: np.ndarray,
    threshold: float,
    table: Table | None = None,
) -> dict[str, dict[str, Any]]:
    """The figures of each group that has pictures, by "view" and "age", each with n and 95 % intervals.

    They are of all pictures of the group, as those of the whole are; `refused` counts those that serving refuses.
    A header and a table that contradict each other say nothing. Raises DataError if the table names no picture, or one
    name means several.
    """
    rows = [NOTHING] * len(samples) if table is None else _rows(samples, table)
    members: dict[str, list[str]] = {
        "view": [_agreed(header.view or UNKNOWN, row.view) for header, row in zip(stated, rows, strict=True)],
        "age": [_agreed(age_group(header.ages), row.age) for header, row in zip(stated, rows, strict=True)],
    }
    labels = np.array([sample.label for sample in samples])
    found: dict[str, dict[str, Any]] = {}
    for kind, names in GROUPS.items():
        inside = {name: np.array([member == name for member in members[kind]]) for name in names}
        found[kind] = {
            name: {
                **_figures(labels[chosen], probabilities[chosen], threshold),
                "refused": int(refused[chosen].sum()),
            }
            for name, chosen in inside.items()
            if chosen.any()
        }
    return found


def known(subgroups: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The kinds of groups of which at least one picture says where it belongs."""
    return {kind: groups for kind, groups in subgroups.items() if set(groups) - {UNKNOWN}}


def age_group(ages: Iterable[float]) -> str:
    """The group of all these ages in years; UNKNOWN if there are none, or they are of several groups."""
    groups = {name for age in ages for name, (low, high) in AGES.items() if low <= age < high}
    return groups.pop() if len(groups) == 1 else UNKNOWN


def _figures(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> dict[str, Any]:
    measured = evaluate(labels, probabilities, threshold)
    return {name: measured[name] for name in _RATES}


def _agreed(header: str, row: str) -> str:
    if UNKNOWN in (header, row):
        return row if header == UNKNOWN else header
    return header if header == row else UNKNOWN


def _rows(samples: Sequence[Sample], table: Table) -> list[Row]:
    """The table's row of each picture: by the path from the labelled folder first, then by its name."""
    names = [sample.name for sample in samples]
    rows = []
    for sample, name in zip(samples, names, strict=True):
        path = f"{sample.entry.path.parent.name}/{name}"
        if path not in table and name in table and names.count(name) > 1:
            raise DataError(f"the table's {name} means several pictures: write the folder before it")
        rows.append(table.get(path) or table.get(name, NOTHING))
    if all(row is NOTHING for row in rows):
        raise DataError("the table names none of these pictures")
    return rows


def _view(text: str | None, path: Path, number: int) -> str:
    view = (text or "").strip().upper()
    if view not in ("AP", "PA", ""):
        raise DataError(f"{path} line {number}: view must be AP, PA or empty")
    return view or UNKNOWN


def _age(text: str | None, path: Path, number: int) -> str:
    if not (text or "").strip():
        return UNKNOWN
    try:
        age = float(text or "")
    except ValueError:
        age = -1.0
    if not 0 <= age <= 150:  # a NaN, too
        raise DataError(f"{path} line {number}: age must be a number of years or empty")
    return age_group([age])
