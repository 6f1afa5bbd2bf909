"""The Typer application: registers the commands and imports nothing heavy."""

from typing import Annotated

import typer

from pneumoctl import __version__
from pneumoctl.cli import (
    audit,
    configure,
    cost,
    data,
    deploy,
    doctor,
    drift,
    gpu,
    infer,
    init,
    logs,
    model,
    offline_bundle,
    plan,
    predict,
    runs,
    secrets,
    ssh,
    status,
    teardown,
    train,
    tunnel,
    up,
)

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
    infer.infer,
    train.train,
    logs.logs,
    plan.plan,
    configure.configure,
    deploy.deploy,
    deploy.rollback,
    doctor.doctor,
    ssh.ssh,
    tunnel.tunnel,
    drift.drift,
    cost.cost,
    audit.audit,
    teardown.teardown,
    init.init,
    offline_bundle.offline_bundle,
)
for command in _VERBS:
    app.command(command.__name__.replace("_", "-"))(command)
app.add_typer(data.app, name="data")
app.add_typer(gpu.app, name="gpu")
app.add_typer(runs.app, name="runs")
app.add_typer(model.app, name="model")
app.add_typer(secrets.app, name="secrets")
