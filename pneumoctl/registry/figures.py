"""A model's figures as a document, as a row of the list of models, and as a table. Pure."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from model.operating_points_section import Interval, own_films
from model.schema import Invalid, checked
from pneumoctl.registry.store import Registered

PARTS = ("test", "validation")  # of the data of a training, the better evidence first
NAMED = ("auc", "sensitivity", "specificity", "precision", "f1", "accuracy")
COLUMNS = ("figure", "value", "95 % interval", "pictures")
STATED = (  # by a bundle, shown as they are
    "created",
    "intended_use",
    "operating_point",
    "operating_points",
    "calibration",
    "data",
    "metrics",
    "shifted",
    "settings",
    "recipe",
    "code_version",
    "files",
)
LISTED = ("model", "from", "measured on", "AUC", "sensitivity", "specificity", "")


def document(model: Registered, marks: Mapping[str, Collection[str] | None]) -> dict[str, Any]:
    """A model with the figures of its test, else of its validation.

    marks: name -> ids of the models that have the mark; None, and null in the document, if that is unknown.
    """
    parts = measured(model)
    part = next((name for name in PARTS if name in parts), None)
    figures = parts[part] if part else {}
    return {
        "model": model.id,
        "from": model.origin,
        "measured_on": part_name(model, part) if part else None,
        **{name: figures.get(name) for name in ("auc", "sensitivity", "specificity")},
        **{name: None if ids is None else model.id in ids for name, ids in marks.items()},
    }


def full_document(
    model: Registered, marks: Mapping[str, Collection[str] | None], evaluations: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The document of a model with all that its bundle states, its evaluations and its directory."""
    stated = {name: model.manifest.get(name) for name in STATED}
    return {**document(model, marks), **stated, "evaluations": evaluations, "directory": str(model.directory)}


def measured(model: Registered) -> dict[str, dict[str, Interval]]:
    """The figures of each part of the data on which the model was measured. A bundle need not state any."""
    metrics = model.manifest["metrics"]
    return {part: figures for part, stated in metrics.items() if (figures := read(stated))}


def read(stated: Any) -> dict[str, Interval]:
    """The named figures among those that a bundle or an evaluation states, without what was not measured."""
    return {name: stated[name] for name in NAMED if isinstance(stated, dict) and _is_interval(stated.get(name))}


def balanced_accuracy(figures: Mapping[str, Interval]) -> Interval | None:
    """The mean of sensitivity and specificity with its 95 % interval; None if either was not measured.

    The limits are those of Zou and Donner (2008, MOVER) for two independent rates; n: the pictures of both classes.
    """
    first, second = figures.get("sensitivity"), figures.get("specificity")
    if first is None or second is None:
        return None
    value = (first["value"] + second["value"]) / 2
    below = math.hypot(first["value"] - first["low"], second["value"] - second["low"]) / 2
    above = math.hypot(first["high"] - first["value"], second["high"] - second["value"]) / 2
    return {"value": value, "low": value - below, "high": value + above, "n": first["n"] + second["n"]}


def refused(stated: Mapping[str, Any]) -> str:
    """How many of the pictures are refused in use; "-" if that was not counted."""
    return f"{stated['refused']} of {stated['n']}" if {"refused", "n"} <= stated.keys() else "-"


def _is_interval(value: Any) -> bool:
    try:
        checked(value, Interval)
    except Invalid:
        return False
    return True


def data_name(model: Registered) -> str:
    """The name of the data set on which the model was trained."""
    return str(model.manifest["data"].get("name") or "its data")


def part_name(model: Registered, part: str) -> str:
    """The name of a part of the data on which a model was measured."""
    films = own_films(model.manifest)
    if films is not None and part == "validation":
        return f"{films['n']} own films {films['pictures'][:8]}, on which it was calibrated"
    return f"{part} of {data_name(model)}"


def list_row(model: Mapping[str, Any]) -> tuple[str, ...]:
    """A model's document as a row of the list of models."""
    if "damaged" in model:
        return model["model"], "", f"damaged: {model['damaged']}", "", "", "", ""
    sensitivity = model["sensitivity"]
    marks = ", ".join(name for name in ("promoted", "serving") if model[name])
    measured, auc, specificity = model["measured_on"] or "-", _value(model["auc"]), _value(model["specificity"])
    return model["model"], model["from"], measured, auc, with_interval(sensitivity), specificity, marks


def figure_rows(figures: Mapping[str, Interval]) -> Iterator[tuple[str, ...]]:
    """A row for each figure."""
    for name, figure in figures.items():
        yield name, _value(figure), _interval(figure), str(figure["n"])


def with_interval(figure: Interval | None) -> str:
    """A figure and its 95 % interval."""
    return f"{_value(figure)} ({_interval(figure)})" if figure else "-"


def _value(figure: Interval | None) -> str:
    return f"{figure['value']:.3f}" if figure else "-"


def _interval(figure: Interval) -> str:
    return f"{figure['low']:.3f} to {figure['high']:.3f}"
