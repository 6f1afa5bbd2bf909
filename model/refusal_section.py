"""Check the section "refusal" of a bundle: the sizes of its tables and the numbers in them."""

import binascii
import itertools
import math
from array import array
from collections.abc import Mapping
from typing import Any

_NUMBERS = {int, float}  # not bool; infinity and NaN are refused while bundle.json is read

EXPOSURE = ("mean", "spread")  # the statistics that tell how a film is exposed


def check(section: Mapping[str, Any]) -> None:
    """Raise ValueError if tables do not fit together or hold what is no number.

    The classifier's tables are packed as text, because thousands of decimal numbers would slow down every start.
    "caution_limit", "exposure" and "classifier" are optional: older bundles, and those of few pictures, have none.
    """
    count = len(section["names"])
    _numbers("mean", section["mean"], count)
    _table("precision", section["precision"], count, count)
    if "caution_limit" in section and not (_is_number(section["caution_limit"]) and section["caution_limit"] > 0):
        raise ValueError(f"refusal.caution_limit is {section['caution_limit']!r}, expected a number above 0")
    if "exposure" in section:
        _check_exposure(section["exposure"])
    if "classifier" in section:
        _check_classifier(section["classifier"], count)


def _check_exposure(exposure: Any) -> None:
    if not isinstance(exposure, dict) or set(exposure) != set(EXPOSURE):
        raise ValueError(f"refusal.exposure is {exposure!r}, expected ranges of {' and '.join(EXPOSURE)}")
    for name, limits in exposure.items():
        _numbers(f"exposure.{name}", limits, 2)
        if not limits[0] <= limits[1]:
            raise ValueError(f"refusal.exposure.{name} is {limits!r}, expected the lower limit first")


def _check_classifier(classifier: Any, count: int) -> None:
    if not isinstance(classifier, dict):
        raise ValueError(f"refusal.classifier is {classifier!r}, expected an object")
    missing = [key for key in ("mean", "spread", "layers", "weights", "biases", "limit") if key not in classifier]
    if missing:
        raise ValueError(f"refusal.classifier.{missing[0]} is missing")
    if not _is_number(classifier["limit"]):
        raise ValueError(f"refusal.classifier.limit is {classifier['limit']!r}, expected a number")
    _numbers("classifier.mean", classifier["mean"], count)
    _numbers("classifier.spread", classifier["spread"], count)
    if min(classifier["spread"]) <= 0:
        raise ValueError("refusal.classifier.spread has a value that is not above 0")
    sizes = classifier["layers"]
    if not isinstance(sizes, list) or not all(type(size) is int and 0 < size < 10_000 for size in sizes):
        raise ValueError(f"refusal.classifier.layers is {sizes!r}, expected sizes of layers")
    if len(sizes) < 2 or (sizes[0], sizes[-1]) != (count, 1):
        raise ValueError(f"refusal.classifier.layers is {sizes!r}, expected layers from {count} to 1")
    pairs = list(itertools.pairwise(sizes))
    for key, lengths in (("weights", [low * high for low, high in pairs]), ("biases", sizes[1:])):
        if not isinstance(classifier[key], list) or len(classifier[key]) != len(lengths):
            raise ValueError(f"refusal.classifier.{key} has not one text for each layer")
        for text, length in zip(classifier[key], lengths, strict=True):
            _check_packed(key, text, length)


def _check_packed(key: str, text: Any, length: int) -> None:
    """Raise ValueError unless `text` is the base64 of `length` finite float32 values."""
    try:
        values = array("f", binascii.a2b_base64(text, strict_mode=True))
    except (TypeError, ValueError):
        raise ValueError(f"refusal.classifier.{key} is not base64 of float32 values") from None
    if len(values) != length or not all(map(math.isfinite, values)):
        raise ValueError(f"refusal.classifier.{key} has another size than {length}, or holds what is no number")


def _table(name: str, rows: Any, height: int, width: int) -> None:
    if not isinstance(rows, list) or len(rows) != height:
        raise ValueError(f"refusal.{name} has another size than {height} rows of {width} numbers")
    for row in rows:
        _numbers(name, row, width)


def _numbers(name: str, values: Any, count: int) -> None:
    if not isinstance(values, list) or len(values) != count or not set(map(type, values)) <= _NUMBERS:
        raise ValueError(f"refusal.{name} has another size than {count}, or holds what is no number")


def _is_number(value: Any) -> bool:
    return type(value) in _NUMBERS
