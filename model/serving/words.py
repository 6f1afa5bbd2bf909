"""Say a finding in words that follow its operating point: never a bare "no sign" of pneumonia."""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

from model.serving.prediction import Finding, Interval, OperatingPoint, Rates


class Measured(NamedTuple):
    """A figure of an operating point: its name, its value rounded down to two digits, the part of the data."""

    name: Literal["sensitivity", "specificity"]
    value: float
    part: str


def finding(document: Finding) -> str:
    """Where the score lies, and the figure that says how often this side is wrong.

    Below a point it is the sensitivity (the share of pneumonias that lie above it), otherwise the specificity: the
    lower of those on validation and test.
    """
    below = document["finding"] == "no pneumonia"
    point = document["operating_point"]
    side = "below" if below else "at or above"
    if point is None:
        return f"{side} the threshold"
    measured = weakest(document)
    figure = ""
    if measured is not None:
        figure = f": {measured.name} {f'{measured.value:.2f}'.removeprefix('0')} on {measured.part}"
    return f"{side} the {point['name']} operating point{figure}"


def weakest(document: Finding) -> Measured | None:
    """The lowest figure of the finding's side at its operating point; None if none was measured."""
    below, point = document["finding"] == "no pneumonia", document["operating_point"]
    name: Literal["sensitivity", "specificity"] = "sensitivity" if below else "specificity"
    if point is None:
        return None
    measured = [(rate["value"], part) for part, rates in parts(point) if (rate := rates[name]) is not None]
    if not measured:
        return None
    value, part = min(measured, key=lambda each: each[0])
    return Measured(name, _rounded_down(value), part)


def figures(point: OperatingPoint) -> Iterator[str]:
    """What was measured at an operating point, with 95 % intervals: a sentence for each part of the data."""
    for part, rates in parts(point):
        sensitivity, specificity = _interval(rates["sensitivity"]), _interval(rates["specificity"])
        yield f"On {part}: sensitivity {sensitivity}, specificity {specificity}."


def probability(value: float, other: float) -> str:
    """A number from 0 to 1 with three digits; with six if it would look equal to `other`, never a false 0 or 1."""
    if value != other and abs(value - other) < 0.001:
        return f"{value:.6f}"
    if 0.9995 <= value < 1:
        return "> 0.999"
    return "< 0.001" if 0 < value < 0.0005 else f"{value:.3f}"


def parts(point: OperatingPoint) -> Iterator[tuple[str, Rates]]:
    """The parts of the data that were measured at an operating point."""
    for part, rates in (("validation", point["validation"]), ("test", point["test"])):
        if rates is not None:
            yield part, rates


def _interval(rate: Interval | None) -> str:
    if rate is None:
        return "not measured"
    return f"{rate['value']:.3f} ({rate['low']:.3f} to {rate['high']:.3f}, n = {rate['n']})"


def _rounded_down(share: float) -> float:
    """Two digits that never promise more than was measured."""
    return math.floor(100 * share + 1e-9) / 100
