"""The tables of a model card: figures with intervals, and operating points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.evaluation.metrics import TITLES

METHODS = (
    "AUC: DeLong, on the logit scale. Rates: Wilson. F1: Wilson's interval of tp / (tp + fp + fn), carried over; "
    "its number of pictures is that denominator."
)


def figures(metrics: Mapping[str, Any]) -> str:
    """The metrics of a part of the data as a table, with a sentence on calibration and counts below it."""
    rows = ["| figure | value | 95 % interval | pictures |", "| --- | ---: | ---: | ---: |"]
    for key, title in TITLES.items():
        metric = metrics[key]
        if metric is None:
            rows.append(f"| {title} | nothing to count | | 0 |")
        else:
            low, high = metric["low"], metric["high"]
            rows.append(f"| {title} | {metric['value']:.3f} | {low:.3f} to {high:.3f} | {metric['n']} |")
    confusion = metrics["confusion"]
    tail = (
        f"\n\nBrier score {metrics['brier']:.4f}, expected calibration error (10 bins) {metrics['ece']:.4f}. "
        f"Called pneumonia: {confusion['tp']} with and {confusion['fp']} without it; "
        f"called none: {confusion['tn']} without and {confusion['fn']} with it."
    )
    return "\n".join(rows) + tail


def operating_points(manifest: Mapping[str, Any], titles: Mapping[str, str] | None = None) -> str:
    """A table of the named operating points, "" for an older bundle, which has none. titles: other names of parts."""
    rows = [
        f"| {name} | {(titles or {}).get(part, part)} | {point['threshold']:.6g} "
        f"| {_rate(point[part], 'sensitivity')} | {_rate(point[part], 'specificity')} |"
        for name, point in manifest.get("operating_points", {}).items()
        for part in ("validation", "test")
        if point[part] is not None
    ]
    head = "| operating point | part | threshold | sensitivity | specificity |\n| --- | --- | ---: | ---: | ---: |\n"
    return head + "\n".join(rows) if rows else ""


def interval(metric: Mapping[str, Any]) -> str:
    """A metric with its 95 % interval and its number of pictures."""
    return f"{metric['value']:.3f} ({metric['low']:.3f} to {metric['high']:.3f}, n = {metric['n']})"


def _rate(rates: Mapping[str, Any], name: str) -> str:
    return "nothing to count" if rates[name] is None else interval(rates[name])
