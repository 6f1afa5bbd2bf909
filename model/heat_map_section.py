"""Check the section "heat_map" of a bundle: the mean map of films, and what covering their cells does."""

import math
from collections.abc import Mapping
from typing import Any

GRID = 8  # rows and columns of cells of a heat map
SELECTIONS = ("own", "own_minus_mean", "mean_of_others", "random")  # the cells that the occlusion test covers


def check(manifest: Mapping[str, Any]) -> None:
    """Raise ValueError if the section is not valid; older bundles and those of few films have none."""
    section = manifest.get("heat_map")
    if section is None:
        return
    if not isinstance(section, dict) or not section.keys() <= {"mean", "films", "occlusion_test"}:
        raise ValueError("heat_map is not an object of mean, films and occlusion_test")
    if not _is_map(section.get("mean")):
        raise ValueError(f"heat_map.mean has another size than {GRID} rows of {GRID} numbers")
    if not _is_count(section.get("films")):
        raise ValueError(f"heat_map.films is {section.get('films')!r}, expected a number of films")
    if "occlusion_test" in section and not _is_test(section["occlusion_test"]):
        raise ValueError("heat_map.occlusion_test does not hold what was measured")


def _is_map(rows: Any) -> bool:
    return (
        isinstance(rows, list)
        and len(rows) == GRID
        and all(isinstance(row, list) and len(row) == GRID and all(map(_is_number, row)) for row in rows)
    )


def _is_test(test: Any) -> bool:
    return (
        isinstance(test, dict)
        and test.keys() == {"cells", "drops", "ratio"}
        and _is_count(test["cells"])
        and isinstance(test["drops"], dict)
        and test["drops"].keys() == set(SELECTIONS)
        and all(map(_is_interval, test["drops"].values()))
        and (test["ratio"] is None or _is_interval(test["ratio"]))
    )


def _is_interval(measured: Any) -> bool:
    return (
        isinstance(measured, dict)
        and measured.keys() == {"value", "low", "high", "n"}
        and all(_is_number(measured[key]) for key in ("value", "low", "high"))
        and _is_count(measured["n"])
    )


def _is_number(value: Any) -> bool:
    return type(value) in {int, float} and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0
