"""Check the section "operating_points" of a bundle: named thresholds and what was measured there."""

from collections.abc import Mapping
from typing import Any

DEFAULT_POINT = "balanced"  # the operating point if none is chosen
_FIELDS = {"threshold", "target_sensitivity", "chosen_on", "validation", "test"}


def check(manifest: Mapping[str, Any]) -> None:
    """Raise ValueError if the section of a manifest is not valid; older bundles have none."""
    points = manifest.get("operating_points")
    if points is None:
        return
    if not isinstance(points, dict) or DEFAULT_POINT not in points or "" in points:
        raise ValueError(f"operating_points has no entry {DEFAULT_POINT}, or one without a name")
    for name, point in points.items():
        if not _is_point(point):
            raise ValueError(f"operating_points.{name} is not a threshold with what was measured there")
    if points[DEFAULT_POINT]["threshold"] != manifest["operating_point"]["threshold"]:
        raise ValueError(f"operating_points.{DEFAULT_POINT}.threshold is not operating_point.threshold")


def _is_point(point: Any) -> bool:
    return (
        isinstance(point, dict)
        and point.keys() == _FIELDS
        and _is_share(point["threshold"])
        and 0 < point["threshold"] < 1
        and _is_share(point["target_sensitivity"])
        and isinstance(point["chosen_on"], str)
        and all(point[part] is None or _are_rates(point[part]) for part in ("validation", "test"))
    )


def _are_rates(rates: Any) -> bool:
    return (
        isinstance(rates, dict)
        and rates.keys() == {"sensitivity", "specificity"}
        and all(rate is None or _is_interval(rate) for rate in rates.values())
    )


def _is_interval(rate: Any) -> bool:
    return (
        isinstance(rate, dict)
        and rate.keys() == {"value", "low", "high", "n"}
        and all(_is_share(rate[key]) for key in ("value", "low", "high"))
        and type(rate["n"]) is int
        and rate["n"] > 0
    )


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
