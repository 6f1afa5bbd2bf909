"""Say a finding in words that follow its operating point: never a bare "no sign" of pneumonia."""

import math
from collections.abc import Iterator

from model.serving.prediction import Finding, Interval, OperatingPoint


def finding(document: Finding) -> str:
    """Where the score lies, and the figure that says how often this side is wrong.

    Below a point it is the sensitivity (the share of pneumonias that lie above it), otherwise the specificity.
    """
    below = document["finding"] == "no pneumonia"
    point = document["operating_point"]
    side = "below" if below else "at or above"
    if point is None:
        return f"{side} the threshold"
    name = "sensitivity" if below else "specificity"
    rates = point["validation"]
    rate = None if rates is None else rates["sensitivity" if below else "specificity"]
    figure = "" if rate is None else f": {name} {_rounded_down(rate['value'])} on validation"
    return f"{side} the {point['name']} operating point{figure}"


def figures(point: OperatingPoint) -> Iterator[str]:
    """What was measured at an operating point, with 95 % intervals: a sentence for each part of the data."""
    for part, rates in (("validation", point["validation"]), ("test", point["test"])):
        if rates is not None:
            sensitivity, specificity = _interval(rates["sensitivity"]), _interval(rates["specificity"])
            yield f"On {part}: sensitivity {sensitivity}, specificity {specificity}."


def _interval(rate: Interval | None) -> str:
    if rate is None:
        return "not measured"
    return f"{rate['value']:.3f} ({rate['low']:.3f} to {rate['high']:.3f}, n = {rate['n']})"


def _rounded_down(share: float) -> str:
    """Two digits that never promise more than was measured."""
    return f"{math.floor(100 * share + 1e-9) / 100:.2f}".removeprefix("0")
