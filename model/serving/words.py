"""Say a finding in words that follow its operating point: never a bare "no sign" of pneumonia."""

import math
from collections.abc import Iterator
from typing import Literal

from model.serving.prediction import Finding, Interval, OperatingPoint, Rates


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
    name: Literal["sensitivity", "specificity"] = "sensitivity" if below else "specificity"
    measured = [(rate["value"], part) for part, rates in _parts(point) if (rate := rates[name]) is not None]
    figure = ""
    if measured:
        value, part = min(measured, key=lambda each: each[0])
        figure = f": {name} {_rounded_down(value)} on {part}"
    return f"{side} the {point['name']} operating point{figure}"


def figures(point: OperatingPoint) -> Iterator[str]:
    """What was measured at an operating point, with 95 % intervals: a sentence for each part of the data."""
    for part, rates in _parts(point):
        sensitivity, specificity = _interval(rates["sensitivity"]), _interval(rates["specificity"])
        yield f"On {part}: sensitivity {sensitivity}, specificity {specificity}."


def probability(value: float, other: float) -> str:
    """A number from 0 to 1 with three digits; with six if it would look equal to `other`, never a false 0 or 1."""
    if value != other and abs(value - other) < 0.001:
        return f"{value:.6f}"
    if 0.9995 <= value < 1:
        return "> 0.999"
    return "< 0.001" if 0 < value < 0.0005 else f"{value:.3f}"


def _parts(point: OperatingPoint) -> Iterator[tuple[str, Rates]]:
    """The parts of the data that were measured at an operating point."""
    for part, rates in (("validation", point["validation"]), ("test", point["test"])):
        if rates is not None:
            yield part, rates


def _interval(rate: Interval | None) -> str:
    if rate is None:
        return "not measured"
    return f"{rate['value']:.3f} ({rate['low']:.3f} to {rate['high']:.3f}, n = {rate['n']})"


def _rounded_down(share: float) -> str:
    """Two digits that never promise more than was measured."""
    return f"{math.floor(100 * share + 1e-9) / 100:.2f}".removeprefix("0")
