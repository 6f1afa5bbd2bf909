"""A model's figures for a person and for a program: one line in the list, a table of its own. Pure."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pneumoctl.registry.store import Registered

NAMED = ("auc", "sensitivity", "specificity", "precision", "f1", "accuracy")
COLUMNS = ("figure", "value", "95 % interval", "pictures")
LISTED = ("model", "from", "measured on", "AUC", "sensitivity", "specificity", "")


def told(found: Registered, marks: Mapping[str, Collection[str] | None]) -> dict[str, Any]:
    """A model as a document: figures of the test, else of the validation; a mark is null where nobody knows."""
    metrics = found.manifest.get("metrics") or {}
    part = next((one for one in ("test", "validation") if metrics.get(one)), None)
    figures = metrics[part] if part else {}
    return {
        "model": found.id,
        "from": found.origin,
        "measured_on": f"{part} of {found.manifest['data'].get('name', '')}" if part else None,
        **{name: figures.get(name) for name in ("auc", "sensitivity", "specificity")},
        **{name: None if known is None else found.id in known for name, known in marks.items()},
    }


def row(one: Mapping[str, Any]) -> tuple[str, ...]:
    """Its line in the list."""
    if "damaged" in one:
        return one["model"], "", f"damaged: {one['damaged']}", "", "", "", ""
    sensitivity = one["sensitivity"]
    wide = f"{_value(sensitivity)} ({_interval(sensitivity)})" if sensitivity else "-"
    marks = ", ".join(name for name in ("promoted", "serving") if one[name])
    measured = one["measured_on"] or "-"
    return one["model"], one["from"], measured, _value(one["auc"]), wide, _value(one["specificity"]), marks


def rows(figures: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A line for each figure that rests on pictures."""
    for name in NAMED:
        if one := figures.get(name):
            yield name, _value(one), _interval(one), str(one["n"])


def _value(one: Mapping[str, Any] | None) -> str:
    return f"{one['value']:.3f}" if one else "-"


def _interval(one: Mapping[str, Any]) -> str:
    return f"{one['low']:.3f} to {one['high']:.3f}"
