"""The attribution of each data set, as model cards state it."""

from __future__ import annotations

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
