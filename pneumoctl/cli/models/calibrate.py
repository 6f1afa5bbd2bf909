"""`pneumoctl model calibrate`: a new version of a model whose operating points come from the user's own films."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from model.serving import operating_points
from pneumoctl.cli.invocation import output_options
from pneumoctl.cli.models.evaluate import figure_table, scoring, warn_of_readings
from pneumoctl.cli.promote import Model
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.registry import calibration, evaluations, store
from pneumoctl.registry import figures as model_figures
from pneumoctl.scoring import labelled
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted

_Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Your films: contains NORMAL and PNEUMONIA.")]
_Name = Annotated[
    str, typer.Option("--name", metavar="NAME", help="Name of the new version (default: that of the model).")
]
_Target = Annotated[
    float | None,
    typer.Option(
        "--target-sensitivity", metavar="X", help="Of the point balanced, above 0, at most 1 (default: the model's)."
    ),
]


@output_options
def calibrate(name: Model, folder: _Folder, new_name: _Name = "", target_sensitivity: _Target = None) -> int:
    """Fit thresholds and probabilities to your own films.

    Makes a new version in the registry; the original is not changed. The network stays the same: which films it ranks
    higher does not change, only the probabilities and the thresholds do. Films that are refused in use are left out.
    The card of the new version says on how many films it was calibrated, and when. Nothing is sent.

    Refused if the films are too few: at each operating point, the 95 % interval of the sensitivity must not be wider
    than 0.10, and that of the specificity not wider than 0.20. For that take about 100 films of each class.

    The figures on these films are no independent test. `model promote` does not compare the new version with another
    model on them, but on films that both have scored: `model evaluate`. Needs the extra train.
    """
    if target_sensitivity is not None and not 0 < target_sensitivity <= 1:
        raise PneumoError(
            f"--target-sensitivity {target_sensitivity} is not above 0 and at most 1",
            "pneumoctl model calibrate --help",
            Exit.USAGE,
        )
    base = store.find(name)
    films = labelled.find(folder, None, f"pneumoctl model calibrate {name}")
    console.note(f"{base.id} scores {counted(len(films.labels), 'film')}")
    done = calibration.calibrate(base, films, new_name, target_sensitivity, scoring)
    count = evaluations.count(done.original.entry["pictures"])
    console.result({**done.document(), "readings": count})
    _show(done.model.id, base.id, done.model.manifest, done.original.entry["in_use"])
    warn_of_readings(count)
    return 0


def _show(model: str, base: str, manifest: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    films, after = manifest["calibration"]["films"], manifest["metrics"]["validation"]
    console.text(labelled.count_line(films["n"] + films["refused"], films["refused"]))
    figure_table(f"{base} on these films, at threshold {before['threshold']:.6g}", model_figures.read(before))
    figure_table(f"{model} on these films, at threshold {after['threshold']:.6g}", model_figures.read(after))
    console.text(f"\ncalibration error {before['ece']:.3f} before, {after['ece']:.3f} now, both on these films")
    for label, point in operating_points.read(manifest).items():
        rates = point.described["validation"] if point.described else None
        shown = (
            [f"{rate} {model_figures.with_interval(rates[rate])}" for rate in ("sensitivity", "specificity")]
            if rates
            else []
        )
        console.text(f"operating point {label}: threshold {point.threshold:.6g}, {', '.join(shown)}")
    console.text(f"\n{model} is here. Next: pneumoctl model evaluate {model} DIR, on other films")
