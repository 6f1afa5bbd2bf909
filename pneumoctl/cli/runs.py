"""`pneumoctl runs`: what was trained, its cost, who ended it; readable when the GPU, and the stack, are gone."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from pneumoctl.aws import s3
from pneumoctl.aws.bill import money
from pneumoctl.aws.ec2 import Aws
from pneumoctl.cli.options import Config, Json, NoColor, Quiet, StackName
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import runs as kept
from pneumoctl.stack import settings as settings_
from pneumoctl.stack.runs import Run
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack, choose
from pneumoctl.targets.aws import context
from pneumoctl.terminal.console import console
from pneumoctl.training import collect, host_link, local
from pneumoctl.training.artifacts import Store

app = typer.Typer(name="runs", help="Training runs and their receipts.", rich_markup_mode=None, no_args_is_help=True)
Name = Annotated[str | None, typer.Argument(metavar="[RUN]", help="Default: the newest.", show_default=False)]
LOG = "train.log"


@app.callback()
def runs() -> None:
    """Training runs and their receipts."""


def _place(stack: str | None, config: Path | None) -> "Stack":
    return choose(settings_.load({"stack": stack}, config, os.environ))[1]


def _chosen(place: "Stack", name: str | None) -> "Run":
    if name:
        return kept.load(place, name)
    found = kept.every(place)
    if not found:
        raise PneumoError(f"stack {place.name} has no runs", "pneumoctl train --help", Exit.USAGE)
    return found[-1]


def _login(place: "Stack") -> "Aws":
    context.require(place)
    settings, _ = choose(Settings(stack=place.name))
    return context.login(settings, place)[0]


@app.command()
def ls(
    stack: StackName = None,
    config: Config = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> int:
    """List all runs, the newest last."""
    place = _place(stack, config)
    rows, documents = [], []
    for run in kept.every(place):
        receipt = kept.ended(place, run)
        state = receipt.why if receipt else f"open: {run.phase or 'ordered'}"
        usd = money(receipt.usd) if receipt and receipt.usd is not None else ""
        billed = f"{receipt.billed_s} s" if receipt and receipt.billed_s is not None else ""
        rows.append((run.id, run.where, state, billed, usd, receipt.guard if receipt else "", " ".join(run.arguments)))
        documents.append({"run": asdict(run), "receipt": asdict(receipt) if receipt else None})
    console.result({"stack": place.name, "runs": documents})
    console.table(("run", "on", "state", "billed", "USD", "ended by", "flags"), rows)
    return 0


@app.command()
def show(
    run: Name = None,
    stack: StackName = None,
    config: Config = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> int:
    """Show a run: what was ordered, its phases, its receipt, its results here."""
    place = _place(stack, config)
    one = _chosen(place, run)
    receipt, folder = kept.ended(place, one), kept.results(place, one.id)
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    told = asdict(receipt) if receipt else None
    console.result({"stack": place.name, "run": asdict(one), "receipt": told, "files": files, "folder": str(folder)})
    _lines("", {name: value for name, value in asdict(one).items() if value not in ("", [], None) and name != "phases"})
    for phase, at in one.phases:
        console.text(f"{at}  {phase}")
    if told is None:
        console.text("no receipt yet: it goes on, or nobody has collected it (pneumoctl train --gpu --resume)")
    else:
        _lines("receipt: ", {name: value for name, value in told.items() if value not in ("", [], None)})
    console.text(f"{len(files)} files: {folder}" if files else "no results here")
    return 0


def _lines(before: str, values: dict[str, Any]) -> None:
    for name, value in values.items():
        console.text(f"{before}{name.replace('_', ' ')}: {' '.join(value) if name == 'arguments' else value}")


@app.command()
def logs(
    run: Name = None,
    lines: Annotated[int, typer.Option("--lines", "-n", help="The last so many lines.")] = 200,
    stack: StackName = None,
    config: Config = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> int:
    """Show the end of a run's log: the copy here, else the bucket's, else the host's while it goes on."""
    place = _place(stack, config)
    one = _chosen(place, run)
    said = _log(place, one, lines) if one.where == kept.GPU else _read(kept.results(place, one.id) / LOG)
    last = said.splitlines()[-lines:] if lines else []
    console.result({"stack": place.name, "run": one.id, "lines": last})
    for line in last:
        console.text(line)
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        raise PneumoError(f"there is no log of it: {path} is not there", "pneumoctl runs show") from None


def _log(place: "Stack", run: "Run", lines: int) -> str:
    path = kept.results(place, run.id) / LOG
    if kept.ended(place, run) is not None and path.exists():
        return _read(path)
    aws = _login(place)
    if kept.ended(place, run) is None and (said := host_link.tail(place, run, lines)) is not None:
        return said
    found = s3.read(aws, run.bucket, f"runs/{run.id}/{LOG}")
    return _read(path) if found is None else found.decode(errors="replace")


@app.command()
def fetch(
    run: Name = None,
    stack: StackName = None,
    config: Config = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> int:
    """Fetch again what a run on the GPU left in the bucket, and verify its bundle."""
    place = _place(stack, config)
    one = _on_gpu(_chosen(place, run))
    collect.fetch(place, Store(_login(place), one.bucket, one.id), one)
    return 0


def _on_gpu(run: "Run") -> "Run":
    if run.where != kept.GPU:
        raise PneumoError(f"run {run.id} was of this machine: all of it is here", "pneumoctl runs show", Exit.USAGE)
    return run


@app.command()
def cancel(
    run: Name = None,
    stack: StackName = None,
    config: Config = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> int:
    """End a run that goes on, with a checkpoint; on the GPU, that is off and proven so afterwards.

    Where another pneumoctl follows the run, it is only asked to stop, and that one sees to the rest.
    """
    place = _place(stack, config)
    one = _chosen(place, run)
    if kept.settled(place, one):
        console.result({"stack": place.name, "run": one.id, "changed": []})
        console.text(f"nothing to do: run {one.id} has ended")
        return 0
    if one.where == kept.HERE:
        local.cancel(place, one)
        console.result({"stack": place.name, "run": one.id, "changed": ["asked to stop"]})
        console.text(f"run {one.id} is asked to stop with a checkpoint")
        return 0

    return collect.cancel(_login(place), place, one)
