"""`pneumoctl runs`: training runs, their cost and why they ended; also readable after the stack was removed."""

from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from pneumoctl.aws import s3
from pneumoctl.aws.bill import money
from pneumoctl.aws.ec2 import Aws
from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu.stop import confirming
from pneumoctl.stack import runs as run_records
from pneumoctl.stack.runs import Run
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack, resolve
from pneumoctl.targets.aws import context, tagged
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted
from pneumoctl.training import collect, host_link, local
from pneumoctl.training.artifacts import RunStore

app = typer.Typer(name="runs", help="List training runs and their receipts.", rich_markup_mode=None)
Name = Annotated[
    str | None, typer.Argument(metavar="[RUN]", help="Id of the run (default: the newest).", show_default=False)
]
LOG = "train.log"


def _chosen(stack: Stack, name: str | None) -> Run:
    if name:
        return run_records.load(stack, name)
    records = run_records.load_all(stack)
    if not records:
        raise PneumoError(f"stack {stack.name} has no runs", "pneumoctl train --help", Exit.USAGE)
    return records[-1]


def _settings(stack: Stack) -> Settings:
    """The saved settings. Raises PneumoError if the stack is not on aws."""
    stack.require_aws("its runs are on this machine already", "pneumoctl runs ls")
    return resolve(Settings(stack=stack.name))[0]


def _login(stack: Stack) -> Aws:
    aws, _ = context.login(_settings(stack), stack)
    return aws


@app.command()
@on_stack()
def ls(invocation: Invocation) -> int:
    """List all runs, the newest last."""
    stack = invocation.stack
    rows, documents = [], []
    for run in run_records.load_all(stack):
        receipt = run_records.final_receipt(stack, run)
        state = receipt.why if receipt else f"open: {run.phase or 'ordered'}"
        usd = money(receipt.usd) if receipt and receipt.usd is not None else ""
        billed = f"{receipt.billed_s} s" if receipt and receipt.billed_s is not None else ""
        rows.append((run.id, run.where, state, billed, usd, receipt.guard if receipt else "", " ".join(run.arguments)))
        documents.append({"run": asdict(run), "receipt": asdict(receipt) if receipt else None})
    console.result({"stack": stack.name, "runs": documents})
    console.table(("run", "on", "state", "billed", "USD", "ended by", "flags"), rows)
    return 0


@app.command()
@on_stack()
def show(invocation: Invocation, run: Name = None) -> int:
    """Show a run: its settings, phases, receipt and results."""
    stack = invocation.stack
    record = _chosen(stack, run)
    receipt, folder = run_records.final_receipt(stack, record), run_records.results_directory(stack, record.id)
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    receipt_document = asdict(receipt) if receipt else None
    console.result(
        {"stack": stack.name, "run": asdict(record), "receipt": receipt_document, "files": files, "folder": str(folder)}
    )
    _lines(
        "", {name: value for name, value in asdict(record).items() if value not in ("", [], None) and name != "phases"}
    )
    for phase, at in record.phases:
        console.text(f"{at}  {phase}")
    if receipt_document is None:
        console.text(
            "no receipt yet: the run goes on, or its results were not collected (pneumoctl train --gpu --resume)"
        )
    else:
        _lines("receipt: ", {name: value for name, value in receipt_document.items() if value not in ("", [], None)})
    console.text(f"{counted(len(files), 'file')}: {folder}" if files else "no results here")
    return 0


def _lines(before: str, values: dict[str, Any]) -> None:
    for name, value in values.items():
        console.text(f"{before}{name.replace('_', ' ')}: {' '.join(value) if name == 'arguments' else value}")


@app.command()
@on_stack()
def logs(
    invocation: Invocation,
    run: Name = None,
    lines: Annotated[int, typer.Option("--lines", "-n", metavar="N", help="Number of lines.")] = 200,
) -> int:
    """Show the end of a run's log.

    Reads the copy on this machine, that of the host while the run goes on, or that in the bucket.
    """
    stack = invocation.stack
    record = _chosen(stack, run)
    log_text = (
        _log(stack, record, lines)
        if record.where == run_records.GPU
        else _read(run_records.results_directory(stack, record.id) / LOG)
    )
    last = log_text.splitlines()[-lines:] if lines else []
    console.result({"stack": stack.name, "run": record.id, "lines": last})
    for line in last:
        console.text(line, verbatim=True)
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        raise PneumoError(f"the run has no log: {path} does not exist", "pneumoctl runs show") from None


def _log(stack: Stack, run: Run, lines: int) -> str:
    path = run_records.results_directory(stack, run.id) / LOG
    if run_records.final_receipt(stack, run) is not None and path.exists():
        return _read(path)
    aws = _login(stack)
    if (
        run_records.final_receipt(stack, run) is None
        and (log_text := host_link.log_tail(stack, run, lines)) is not None
    ):
        return log_text
    stored = s3.read(aws, run.bucket, f"runs/{run.id}/{LOG}")
    return _read(path) if stored is None else stored.decode(errors="replace")


@app.command()
@on_stack()
def fetch(invocation: Invocation, run: Name = None) -> int:
    """Download the results of a run on the GPU again.

    The results come from the stack's bucket. The model is verified.
    """
    stack = invocation.stack
    record = _on_gpu(_chosen(stack, run))
    collect.fetch_results(stack, RunStore(_login(stack), record.bucket, record.id), record)
    return 0


def _on_gpu(run: Run) -> Run:
    if run.where != run_records.GPU:
        raise PneumoError(
            f"run {run.id} ran on this machine: its results are here already", "pneumoctl runs show", Exit.USAGE
        )
    return run


@app.command()
@on_stack(gpu=True)
def cancel(invocation: Invocation, run: Name = None) -> int:
    """End a run after it has saved a checkpoint.

    A GPU is then stopped, with proof. If another pneumoctl follows the run, the run is only asked to stop, and the
    other pneumoctl does the rest.
    """
    settings, stack = invocation
    with confirming(settings, stack.name) if settings.target == "aws" else nullcontext():
        record = _chosen(stack, run)
    if run_records.is_closed(stack, record):
        console.result({"stack": stack.name, "run": record.id, "changed": []})
        console.text(f"nothing to do: run {record.id} has ended")
        return 0
    if record.where == run_records.HERE:
        local.cancel(stack, record)
        console.result({"stack": stack.name, "run": record.id, "changed": ["stop requested"]})
        console.text(
            f"asked run {record.id} to save a checkpoint and stop; to follow it: pneumoctl runs show {record.id}"
        )
        return 0
    if not stack.target:
        raise tagged.no_longer_here(replace(settings, region=record.region or settings.region), stack)
    with confirming(settings, stack.name):
        aws = _login(stack)
    return collect.cancel(aws, stack, record)
