"""The section "refusal" of a bundle: what of its form is checked, and that its tables fit together."""

import binascii
import itertools
import math
from array import array
from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, TypedDict

from model.schema import checked

_Range = Annotated[list[float], ("minItems", 2), ("maxItems", 2)]


class Exposure(TypedDict):
    """The range of each statistic that tells how a film is exposed, over nearly all validation films."""

    mean: _Range
    spread: _Range


EXPOSURE = tuple(Exposure.__annotations__)


class Network(TypedDict):
    """The classifier of unsuitable pictures: layers of these sizes, with tables packed as text.

    As decimal numbers, the tables would slow down every start.
    """

    mean: list[float]
    spread: list[Annotated[float, ("exclusiveMinimum", 0)]]
    layers: Annotated[list[Annotated[int, ("minimum", 1), ("maximum", 9999)]], ("minItems", 2)]
    weights: list[str]
    biases: list[str]
    limit: float


class Optional(TypedDict):
    """What older bundles, and those of few pictures, do not have."""

    of_input: NotRequired[bool]
    caution_limit: NotRequired[Annotated[float, ("exclusiveMinimum", 0)]]
    exposure: NotRequired[Exposure]
    classifier: NotRequired[Network]


def check(section: Mapping[str, Any]) -> None:
    """Raise ValueError if the section is not valid, or its tables do not fit together."""
    count = len(section["names"])
    _numbers("mean", section["mean"], count)
    _table("precision", section["precision"], count)
    optional: Optional = checked(
        {name: section[name] for name in Optional.__annotations__ if name in section}, Optional, "refusal"
    )
    for name, (low, high) in optional.get("exposure", {}).items():
        if low > high:
            raise ValueError(f"refusal.exposure.{name} is {low} to {high}, expected the lower limit first")
    if "classifier" in optional:
        _check_network(optional["classifier"], count)


def _check_network(network: Network, count: int) -> None:
    for name, values in (("mean", network["mean"]), ("spread", network["spread"])):
        _numbers(f"classifier.{name}", values, count)
    sizes = network["layers"]
    if (sizes[0], sizes[-1]) != (count, 1):
        raise ValueError(f"refusal.classifier.layers is {sizes!r}, expected layers from {count} to 1")
    _check_packed("weights", network["weights"], [low * high for low, high in itertools.pairwise(sizes)])
    _check_packed("biases", network["biases"], sizes[1:])


def _check_packed(name: str, texts: list[str], lengths: list[int]) -> None:
    """Raise ValueError unless each text is the base64 of as many finite float32 values as its length says."""
    if len(texts) != len(lengths):
        raise ValueError(f"refusal.classifier.{name} has not one text for each layer")
    for text, length in zip(texts, lengths, strict=True):
        try:
            values = array("f", binascii.a2b_base64(text, strict_mode=True))
        except ValueError:
            raise ValueError(f"refusal.classifier.{name} is not base64 of float32 values") from None
        if len(values) != length or not all(map(math.isfinite, values)):
            raise ValueError(f"refusal.classifier.{name} has another size than {length}, or a value that is not finite")


def _table(name: str, rows: Any, count: int) -> None:
    if not isinstance(rows, list) or len(rows) != count:
        raise ValueError(f"refusal.{name} has another size than {count} rows of {count} numbers")
    for row in rows:
        _numbers(name, row, count)


def _numbers(name: str, values: Any, count: int) -> None:
    # Not by `checked`, which needs longer for the thousands of numbers of a start. A bool is not a number here.
    # Infinity and NaN are refused while bundle.json is read.
    if not isinstance(values, list) or len(values) != count or not set(map(type, values)) <= {int, float}:
        raise ValueError(f"refusal.{name} has another size than {count}, or an element that is not a number")
