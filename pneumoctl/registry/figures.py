"""A model's figures as a document, as a row of the list of models, and as a table. Pure."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pneumoctl.registry.store import Registered

NAMED = ("auc", "sensitivity", "specificity", "precision", "f1", "accuracy")
COLUMNS = ("figure", "value", "95 % interval", "pictures")
LISTED = ("model", "from", "measured on", "AUC", "sensitivity", "specificity", "")


def document(model: Registered, marks: Mapping[str, Collection[str] | None]) -> dict[str, Any]:
    """A model with the figures of its test, else of its validation.

    marks: name -> ids of the models that have the mark; None, and null in the document, if that is unknown.
    """
    metrics = model.manifest.get("metrics") or {}
    part = next((name for name in ("test", "validation") if metrics.get(name)), None)
    figures = metrics[part] if part else {}
    return {
        "model": model.id,
        "from": model.origin,
        "measured_on": f"{part} of {model.manifest['data'].get('name', '')}" if part else None,
        **{name: figures.get(name) for name in ("auc", "sensitivity", "specificity")},
        **{name: None if ids is None else model.id in ids for name, ids in marks.items()},
    }


def list_row(model: Mapping[str, Any]) -> tuple[str, ...]:
    """A model's document as a row of the list of models."""
    if "damaged" in model:
        return model["model"], "", f"damaged: {model['damaged']}", "", "", "", ""
    sensitivity = model["sensitivity"]
    with_interval = f"{_value(sensitivity)} ({_interval(sensitivity)})" if sensitivity else "-"
    marks = ", ".join(name for name in ("promoted", "serving") if model[name])
    measured, auc, specificity = model["measured_on"] or "-", _value(model["auc"]), _value(model["specificity"])
    return model["model"], model["from"], measured, auc, with_interval, specificity, marks


def figure_rows(figures: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row for each figure that was measured."""
    for name in NAMED:
        if figure := figures.get(name):
            yield name, _value(figure), _interval(figure), str(figure["n"])


def _value(figure: Mapping[str, Any] | None) -> str:
    return f"{figure['value']:.3f}" if figure else "-"


def _interval(figure: Mapping[str, Any]) -> str:
    return f"{figure['low']:.3f} to {figure['high']:.3f}"
