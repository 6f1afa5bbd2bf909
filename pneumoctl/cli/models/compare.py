"""`pneumoctl model compare`: two models on the same labelled pictures, with paired tests."""

import os
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from model.evaluation.intervals import Interval
from pneumoctl.cli.invocation import output_options
from pneumoctl.cli.models.evaluate import Labelled, scoring, warn_of_calibration, warn_of_readings
from pneumoctl.cli.promote import names
from pneumoctl.registry import comparison, evaluations
from pneumoctl.scoring import labelled
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted

_COLUMNS = ("figure", "A", "B", "A - B", "right in A, in B only", "p")


def _model(metavar: str) -> Any:
    return typer.Argument(
        metavar=metavar,
        help="A model, or the folder of a report of `model evaluate --report`.",
        autocompletion=names,
    )


@output_options
def compare(first: Annotated[str, _model("A")], second: Annotated[str, _model("B")], folder: Labelled = None) -> int:
    """Compare two models on the same labelled pictures.

    Scores the pictures with both models; a report of `model evaluate` is read instead, and must be of the same
    pictures. Every evaluation is recorded, as by `model evaluate`. Pictures that are refused in use count.

    AUC: DeLong's test for correlated ROC curves. Sensitivity, specificity and accuracy at each operating point that
    both models have: McNemar's exact test, and Newcombe's interval of the difference. The p values are two-sided and
    not corrected for their number.
    """
    words = (first, second)
    sides = {word: comparison.read(word) for word in words if comparison.is_report(word)}
    counts = []
    for word in words:
        if word not in sides:
            pictures = labelled.find(folder, os.environ.get("PNEUMO_DATA"), f"pneumoctl model compare {first} {second}")
            sides[word], entry = comparison.score(word, pictures, scoring)
            warn_of_calibration(entry)
            counts.append(evaluations.count(entry["pictures"]))
    document = comparison.compare(sides[first], sides[second])
    console.result(document)
    ours, theirs = (entry["model"] for entry in document["models"])
    console.text(f"A {ours}\nB {theirs}")
    console.text(f"on {counted(document['n'], 'picture')}, {document['positives']} with pneumonia\n")
    console.table(_COLUMNS, list(_rows(document)))
    console.text(f"refused in use: {'; '.join(_refused(entry) for entry in document['models'])}")
    warn_of_readings(max(counts, default=0))
    return 0


def _rows(document: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    if (area := document["auc"]) is not None:
        yield _row("AUC", area, "")
    for name, point in document["operating_points"].items():
        for rate in ("sensitivity", "specificity", "accuracy"):
            if (found := point[rate]) is not None:
                yield _row(f"{rate}, {name}", found, f"{found['only_first']}, {found['only_second']}")


def _row(title: str, found: dict[str, Any], only: str) -> tuple[str, ...]:
    shown = (_figure(found[key]) for key in ("first", "second", "difference"))
    return (f"{title}, n = {found['difference']['n']}", *shown, only, _p(found["p"]))


def _figure(figure: Interval | dict[str, Any]) -> str:
    if figure["low"] is None:
        return f"{figure['value']:.3f} (interval undefined)"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def _p(value: float | None) -> str:
    if value is None:
        return "undefined"
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _refused(entry: dict[str, Any]) -> str:
    return "not in the report" if entry["refused"] is None else str(entry["refused"])
