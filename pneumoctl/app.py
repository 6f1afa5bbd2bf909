"""The Typer application: registers the commands and imports nothing heavy."""

from typing import Annotated

import typer

from pneumoctl import __version__
from pneumoctl.commands import data, doctor, init, logs, plan, predict, status, teardown, up

app = typer.Typer(
    name="pneumoctl",
    help="Provision, deploy, train and prove a chest X-ray pneumonia classifier.",
    rich_markup_mode=None,  # Rich help doubles the start-up time
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pneumoctl {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """One tool from bare machine to proven prediction, and back."""


_VERBS = (
    up.up,
    status.status,
    predict.predict,
    logs.logs,
    plan.plan,
    doctor.doctor,
    teardown.teardown,
    init.init,
)
for command in _VERBS:
    app.command()(command)
app.add_typer(data.app, name="data")
