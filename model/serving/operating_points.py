"""Read the operating points of a bundle and choose one of them, or a threshold."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from model.operating_points_section import DEFAULT_POINT, Rates
from model.schema import Invalid, checked
from model.serving.prediction import OperatingPoint


class Point(NamedTuple):
    """A threshold, and the operating point that it belongs to; None if it was given by hand."""

    threshold: float
    described: OperatingPoint | None


def read(manifest: Mapping[str, Any]) -> dict[str, Point]:
    """The operating points of a checked manifest by name; an older bundle has DEFAULT_POINT alone."""
    return {
        name: Point(float(point["threshold"]), {"name": name, "validation": point["validation"], "test": point["test"]})
        for name, point in _stored(manifest).items()
    }


def chosen_on(manifest: Mapping[str, Any], name: str) -> str:
    """The films on which the threshold of an operating point was chosen, such as "validation" or "own films"."""
    return str(_stored(manifest)[name]["chosen_on"])


def choose(manifest: Mapping[str, Any], name: str | None = None, threshold: float | None = None) -> Point:
    """The operating point of that name or threshold, DEFAULT_POINT without either.

    Another threshold is one that was given by hand. Raises ValueError for an unknown name.
    """
    points = read(manifest)
    if threshold is not None:
        return next((point for point in points.values() if point.threshold == threshold), Point(threshold, None))
    if name is not None and name not in points:
        raise ValueError(f"the model has no operating point {name!r}; it has: {', '.join(points)}")
    return points[name or DEFAULT_POINT]


def _stored(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    return manifest.get("operating_points") or {DEFAULT_POINT: _single(manifest)}


def _single(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The one operating point of an older bundle: its metrics were measured there."""
    point = manifest["operating_point"]
    return {
        "threshold": point["threshold"],
        "chosen_on": point["chosen_on"],
        "validation": _rates(point),
        "test": _rates(manifest["metrics"].get("test")),
    }


def _rates(measured: Any) -> Rates | None:
    """Sensitivity and specificity, if both were measured."""
    try:
        rates: Rates = checked({name: measured[name] for name in Rates.__annotations__}, Rates)
    except (Invalid, KeyError, TypeError):
        return None
    return rates
