"""The section "operating_points" of a bundle: named thresholds and what was measured there."""

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

from model.schema import Invalid, checked

DEFAULT_POINT = "balanced"  # the operating point if none is chosen
Share = Annotated[float, ("minimum", 0), ("maximum", 1)]
Threshold = Annotated[float, ("exclusiveMinimum", 0), ("exclusiveMaximum", 1)]
# A terminal shows it as it is: no control characters.
PointName = Annotated[str, ("pattern", "^[a-z0-9-]{1,30}$")]


class Interval(TypedDict):
    """A share of n pictures, with its 95 % interval (Wilson)."""

    value: Share
    low: Share
    high: Share
    n: Annotated[int, ("minimum", 1)]


class Rates(TypedDict):
    """What was measured on a part of the data; null if the part has no such picture."""

    sensitivity: Interval | None
    specificity: Interval | None


class StoredPoint(TypedDict):
    """An entry of "operating_points" in bundle.json."""

    threshold: Threshold
    target_sensitivity: Share
    chosen_on: str
    validation: Rates | None
    test: Rates | None


OWN_FILMS = "own films"  # where the operating points of a bundle were chosen that its user has calibrated
Digest = Annotated[str, ("pattern", "^[0-9a-f]{64}$")]
FilmDigest = Annotated[str, ("pattern", "^[0-9a-f]{12}$")]
Count = Annotated[int, ("minimum", 0)]


class Films(TypedDict):
    """The labelled films of a user on which calibration and operating points were chosen: "calibration.films".

    pictures: digest of all of them; scored: of those that serving does not refuse, which alone count in n; digests: the
    first digits of the sha256 of each of these files, by which an evaluation knows them again.
    """

    pictures: Digest
    scored: Digest
    digests: list[FilmDigest]
    n: Count
    positives: Count
    negatives: Count
    refused: Count
    date: Annotated[str, ("pattern", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]


def film_digest(sha256: str) -> str:
    """The digits of a file's sha256 that a bundle has of the films on which it was calibrated."""
    return sha256[:12]


def own_films(manifest: Mapping[str, Any]) -> Films | None:
    """The films on which a user has calibrated a bundle; None if nobody has. Raises ValueError for other content."""
    calibration = manifest.get("calibration")
    if not isinstance(calibration, dict) or "films" not in calibration:
        return None
    films: Films = checked(calibration["films"], Films, "calibration.films")
    return films


def check(manifest: Mapping[str, Any]) -> None:
    """Raise ValueError if the section of a manifest is not valid; older bundles have none."""
    own_films(manifest)
    points = manifest.get("operating_points")
    if points is None:
        return
    if not isinstance(points, dict) or DEFAULT_POINT not in points:
        raise ValueError(f"operating_points has no entry {DEFAULT_POINT}")
    for name, point in points.items():
        _check_point(name, point)
    if points[DEFAULT_POINT]["threshold"] != manifest["operating_point"]["threshold"]:
        raise ValueError(f"operating_points.{DEFAULT_POINT}.threshold is not operating_point.threshold")


def _check_point(name: str, point: Any) -> None:
    try:
        checked(name, PointName)
    except Invalid:
        raise ValueError(f"operating_points has the name {name[:40]!r}, expected 1 to 30 of a-z, 0-9 and -") from None
    stored: StoredPoint = checked(point, StoredPoint, f"operating_points.{name}")
    for part in (stored["validation"], stored["test"]):
        for rate in (part or {}).values():
            if rate is not None and not rate["low"] <= rate["value"] <= rate["high"]:
                raise ValueError(f"operating_points.{name} has an interval that does not contain its value")
