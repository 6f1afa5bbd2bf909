"""The section "heat_map" of a bundle: the mean map of films, and what covering their cells does."""

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, TypedDict

from model.schema import checked

GRID = 8  # rows and columns of cells of a heat map
_Row = Annotated[list[float], ("minItems", GRID), ("maxItems", GRID)]
_Count = Annotated[int, ("minimum", 1)]


class Measured(TypedDict):
    """A number that was measured on n films, with its 95 % interval."""

    value: float
    low: float
    high: float
    n: _Count


class Drops(TypedDict):
    """The mean drop of the logit, by the map whose strongest cells are covered."""

    own: Measured
    own_minus_mean: Measured
    mean_of_others: Measured
    random: Measured


SELECTIONS = tuple(Drops.__annotations__)


class OcclusionTest(TypedDict):
    """What covering `cells` cells together does. ratio: the mean map's drop divided by that of a film's own map."""

    cells: _Count
    drops: Drops
    ratio: Measured | None


class HeatMap(TypedDict):
    """The mean map of `films` films, in logits; bundles of few films have no test."""

    mean: Annotated[list[_Row], ("minItems", GRID), ("maxItems", GRID)]
    films: _Count
    occlusion_test: NotRequired[OcclusionTest]


def check(manifest: Mapping[str, Any]) -> None:
    """Raise ValueError if the section is not valid; older bundles and those of few films have none."""
    if manifest.get("heat_map") is not None:
        checked(manifest["heat_map"], HeatMap, "heat_map")
