"""`pneumoctl model`: list, evaluate, register, download and export the models in this machine's registry."""

from pathlib import Path
from typing import Annotated, Any

import typer

from model.operating_points_section import own_films
from model.serving import operating_points, words
from pneumoctl.cli.invocation import Invocation, on_stack, output_options
from pneumoctl.cli.models.calibrate import calibrate
from pneumoctl.cli.models.claims import claims
from pneumoctl.cli.models.compare import compare
from pneumoctl.cli.models.evaluate import evaluate, figure_table
from pneumoctl.cli.promote import Model, promote, serving
from pneumoctl.errors import PneumoError
from pneumoctl.gpu import orphans
from pneumoctl.registry import bucket_sync, evaluations, promotion, store
from pneumoctl.registry import figures as model_figures
from pneumoctl.targets.aws import context
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted

app = typer.Typer(name="model", help="List, compare, promote and copy trained models.", rich_markup_mode=None)


app.command()(promote)
app.command()(evaluate)
app.command()(compare)
app.command()(calibrate)
app.command()(claims)


@app.command()
@on_stack()
def ls(invocation: Invocation) -> int:
    """List the models, and which one is promoted and serves."""
    stack = invocation.stack
    marks = _marks(invocation)
    models: list[dict[str, Any]] = []
    for name in store.names():
        try:
            models.append(model_figures.document(store.get(name, deep=False), marks))
        except PneumoError as error:
            models.append({"model": name, "damaged": error.message})
    ours = store.shipped()
    if ours.id not in store.names():
        models.append(model_figures.document(ours, marks))
    console.result({"stack": stack.name, "models": models})
    rows = [model_figures.list_row(entry) for entry in models]
    styles = ["red" if "damaged" in entry else "green" if entry["promoted"] else "" for entry in models]
    console.table(model_figures.LISTED, rows, styles)
    return 0


@app.command()
@on_stack()
def show(invocation: Invocation, name: Model) -> int:
    """Show a model's figures, data and evaluations.

    The figures have 95 % intervals.
    """
    model = store.find(name)
    saved_evaluations = evaluations.of_model(model.id)
    console.result(model_figures.full_document(model, _marks(invocation, live=False), saved_evaluations))
    console.text(f"{model.id}, made {model.manifest['created']}, from {model.origin or 'an unknown source'}")
    console.text(f"{model.directory}: the hash of every file matches")
    if (films := own_films(model.manifest)) is not None:
        counts = f"{counted(films['n'], 'own film')}, {films['positives']} with pneumonia"
        console.text(f"calibrated on {counts}, on {films['date']}, from version {model.manifest.get('base')}")
    for label, point in operating_points.read(model.manifest).items():
        chosen_on = operating_points.chosen_on(model.manifest, label)
        console.text(f"operating point {label}: threshold {point.threshold:.6g}, chosen on {chosen_on}")
        for line in words.figures(point.described) if point.described else ():
            console.text(f"  {line}")
    for part, figures in model_figures.measured(model).items():
        figure_table(model_figures.part_name(model, part), figures)
    figure_table("one shifted copy of each film of validation", model_figures.read(model.manifest.get("shifted")))
    for entry in saved_evaluations:
        refused = f", the {entry['refused']} refused ones included" if entry["refused"] else ""
        figure_table(
            f"{counted(entry['metrics']['n'], 'picture')} {entry['pictures'][:8]}, evaluated {entry['at']}{refused}",
            model_figures.read(entry["metrics"]),
        )
    console.text(f"Intended use: {model.manifest['intended_use']}")
    return 0


@app.command()
@output_options
def register(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A model bundle, with bundle.json.")],
) -> int:
    """Copy a bundle into the registry of this machine, verified.

    Training does this by itself.
    """
    model = store.register(directory.expanduser().resolve(), "by hand")
    console.result({"model": model.id, "directory": str(model.directory)})
    console.text(f"{model.id} is here: {model.directory}")
    return 0


@app.command()
@on_stack(alarm=False)
def pull(
    invocation: Invocation, name: Annotated[str, typer.Argument(metavar="MODEL", help="Name and version of the model.")]
) -> int:
    """Download a model from the stack's bucket and verify its files."""
    settings, stack = invocation
    cloud = stack.require_aws("its models are on this machine already", "pneumoctl model ls")
    here = name in store.names()
    aws, _ = context.login(settings, stack)
    orphans.start_alarm(aws)
    model = bucket_sync.pull(aws, cloud.bucket, name)
    console.result({"model": model.id, "directory": str(model.directory), "changed": not here})
    console.text(f"{model.id} {'was here already' if here else 'is here'}: {model.directory}")
    return 0


@app.command()
@output_options
def export(
    name: Model,
    target: Annotated[Path, typer.Argument(metavar="DIR|ZIP", help="A new folder, or FILE.zip.")],
) -> int:
    """Export a model to a folder or a ZIP file."""
    model, path = store.find(name), target.expanduser().absolute()
    store.export(model, path)
    console.result({"model": model.id, "path": str(path)})
    console.text(str(path))
    return 0


def _marks(invocation: Invocation, live: bool = True) -> dict[str, set[str] | None]:
    """The promoted model and, with `live`, the models that serve: None if they are not known."""
    promoted = promotion.promoted(invocation.stack)
    return {"promoted": {promoted["model"]} if promoted else set(), "serving": serving(invocation) if live else None}
