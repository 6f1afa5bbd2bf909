"""The attribution of each data set, as model cards state it, and the ages of its patients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# To be stated wherever the pictures, or a bundle trained on them, are used.
SOURCES = {
    "kermany": (
        'Kermany, Zhang, Goldbaum, "Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for '
        'Classification", Mendeley Data, doi 10.17632/rscbjbr9sj, CC BY 4.0. Frontal chest X-rays of children aged '
        "1 to 5 of the Guangzhou Women and Children's Medical Center."
    ),
    "pneumoniamnist": (
        "PneumoniaMNIST of MedMNIST v2 (Yang et al., Scientific Data 2023, doi 10.5281/zenodo.10519652), CC BY 4.0, "
        "made from Kermany, Zhang, Goldbaum, Mendeley Data, doi 10.17632/rscbjbr9sj, CC BY 4.0. Frontal chest "
        "X-rays of children aged 1 to 5 of the Guangzhou Women and Children's Medical Center."
    ),
    "drawings": "Drawings of model/phantom.py, no X-rays: this model has never seen a patient and finds nothing.",
}
OLDEST = 150  # years; more is no age
_AGES = {"kermany": [1, 5], "pneumoniamnist": [1, 5]}


SOURCE_FILE = "SOURCE.txt"  # of a data set that is a folder
LONGEST = 2000  # characters of an attribution


def source_file(data: Path) -> Path:
    """The file that holds the attribution of a data set, a folder or a file; `model.fetch` writes it."""
    if data.is_dir():
        return data / SOURCE_FILE
    return data.with_name(SOURCE_FILE if data.name == "manifest.csv" else f"{data.stem}.source.txt")


def of_data(data: Path) -> str:
    """The attribution in the file beside a data set, by its name in SOURCES if it has one; "" if there is no file."""
    path = source_file(data)
    if not path.is_file():
        return ""
    text = "".join(sign if sign.isprintable() else " " for sign in path.read_text("utf-8", "replace"))
    text = " ".join(text.split())[:LONGEST]
    return name_of(text)


def name_of(text: str) -> str:
    """The name in SOURCES of an attribution; any other text is returned as it is."""
    return next((name for name, known in SOURCES.items() if known == text), text)


def ages(source: Any) -> list[int] | None:
    """The youngest and the oldest age of the patients in whole years, if the publishers state it.

    source: a name in SOURCES, or the attribution of that name, as a bundle has it.
    """
    return next((_AGES.get(name) for name, text in SOURCES.items() if source in (name, text)), None)


def are_ages(value: Any) -> bool:
    """Whether these are the youngest and the oldest age of patients, in whole years."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(type(age) is int for age in value)
        and 0 <= value[0] <= value[1] <= OLDEST
    )
