"""`pneumoctl model evaluate`: measure a model on a labelled folder, with subgroups, a decision curve and a report."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer

from model.evaluation import report
from model.operating_points_section import Interval
from pneumoctl.cli.invocation import output_options
from pneumoctl.cli.promote import Model
from pneumoctl.registry import evaluation, evaluations, store
from pneumoctl.registry import figures as model_figures
from pneumoctl.scoring import labelled
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted

Labelled = Annotated[
    Path | None,
    typer.Argument(metavar="[DIR]", help="Contains NORMAL and PNEUMONIA (default: the test split of $PNEUMO_DATA)."),
]
_Table = Annotated[
    Path | None,
    typer.Option("--table", metavar="FILE.csv", help="Columns file, and view (AP, PA) or age (years), for subgroups."),
]
_Corruptions = Annotated[
    bool,
    typer.Option(
        "--corruptions", help="Also score 65 corrupted copies of each picture: takes that many times as long."
    ),
]
_Report = Annotated[
    Path | None,
    typer.Option("--report", metavar="DIR", help="Write figures, scores and plots to this folder (extra: train)."),
]


@output_options
def evaluate(
    name: Model,
    folder: Labelled = None,
    table: _Table = None,
    corruptions: _Corruptions = False,
    report_dir: _Report = None,
) -> int:
    """Measure a model on a labelled folder and save the figures.

    `model promote` compares models by them. Nothing is sent. The output says how often these pictures were used
    before: once a model was chosen by them, they no longer are an independent test.

    Pictures that are refused in use are counted and are not in the figures, as with `infer`. If there are any, a second
    table has them, too: by that one models are compared. All other tables have them.

    It shows the figures by view and by age, where the headers of DICOM files or --table tell them, and the decision
    curve: the net benefit beside calling all or none pneumonia. --corruptions measures 13 kinds of what happens to
    radiographs, such as noise, another exposure, a marker or a device, each in five severities.

    --report writes all of it as JSON, with plots and a picture of the most confident wrong findings. That picture has
    small copies of films, under digests instead of names; films whose header states burned-in text are left out.
    """
    model = store.find(name)
    pictures = labelled.find(folder, os.environ.get("PNEUMO_DATA"), f"pneumoctl model evaluate {name}")
    console.note(f"{model.id} scores {counted(len(pictures.labels), 'picture')}")
    wanted = evaluation.Wanted(table, corruptions, report_dir.expanduser().absolute() if report_dir else None)
    evaluated = evaluation.evaluate(model, pictures, wanted, scoring)
    entry, count = evaluated.entry, evaluations.count(evaluated.entry["pictures"])
    console.result({**entry, "readings": count, **evaluated.document})
    _show(model.id, entry, evaluated.document)
    warn_of_calibration(entry)
    warn_of_readings(count)
    return 0


def scoring(pictures: int) -> AbstractContextManager[Any]:
    """The progress of scoring so many pictures."""
    return console.progress("scoring", pictures, "pictures")


def warn_of_readings(count: int) -> None:
    """Say that pictures were used before."""
    if count > 1:
        console.warn(
            f"these pictures were evaluated {count} times, this time included: they are no longer an independent test"
        )


def warn_of_calibration(entry: Mapping[str, Any]) -> None:
    """Say that the operating points of the model were chosen on some of the pictures."""
    if count := entry["of_calibration"]:
        of_all = f"{count} of these {entry['metrics']['n']} pictures"
        console.warn(f"{entry['model']} was calibrated on {of_all}: the figures flatter it")


def figure_table(title: str, figures: dict[str, Interval]) -> None:
    """Print a model's figures with their intervals, if it has any."""
    if lines := list(model_figures.figure_rows(figures)):
        console.text(f"\n{title}:")
        console.table(model_figures.COLUMNS, lines)


def _show(model: str, entry: dict[str, Any], document: dict[str, Any]) -> None:
    everything, of_all = model_figures.read(entry["metrics"]), entry["metrics"]["n"]
    figure_table(
        f"{model} on {counted(of_all, 'picture')} {entry['pictures'][:8]}", model_figures.read(entry["in_use"])
    )
    console.text(labelled.count_line(of_all, entry["refused"]))
    if entry["refused"]:
        figure_table("with the refused pictures, as `model promote` compares models", everything)
    for title, columns, rows in report.tables(document):
        console.text(f"\n{title}:")
        console.table(columns, rows)
    console.text(f"\n{report.failure_line(document)}")
    if "report" in document:
        console.text(f"report: {document['report']}")
