"""Functions of `train`, `runs` and `teardown` for a run on the GPU: find its host, end it, fetch its results."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import scheduled_stop, stop
from pneumoctl.gpu.signals import Interrupts, ignore_output_errors
from pneumoctl.stack import audit, runs
from pneumoctl.stack.runs import Run
from pneumoctl.stack.stack import Stack
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted
from pneumoctl.training import artifacts, finalize, progress, spot
from pneumoctl.training.artifacts import RunStore
from pneumoctl.training.host_link import SshLink, with_training_host
from pneumoctl.training.outcome import Outcome
from pneumoctl.training.progress import CHECKPOINT_S
from pneumoctl.training.run_context import Milestones, RunContext, Summary
from pneumoctl.training.session import Session, run_and_finalize

LINE_S = 30.0  # between two lines of progress where there is no terminal


def training_host(aws: Aws, stack: Stack) -> Instance:
    """The stack's GPU host as EC2 describes it. Raises PneumoError (exit 4) if there is none."""
    inventory = stack.hosts()
    ids = {host.instance_id for host in inventory.hosts if host.role == "train"} if inventory else set()
    instances = [instance for instance in aws.instances(stack.name) if instance.role == "train" and instance.id in ids]
    if not instances:
        hint = "PNEUMO_GPU_HOST=true pneumoctl up   (it ends stopped; keep gpu_host = true in pneumo.toml)"
        raise PneumoError(f"stack {stack.name} has no GPU host yet", hint, Exit.PREFLIGHT)
    return instances[0]


def host_of(aws: Aws, stack: Stack, run: Run) -> Instance:
    """The host of a run: the stack's GPU host, or the spot instance that was launched for the run."""
    if not run.spot:
        return training_host(aws, stack)
    return spot.instance_of(aws, run) or spot.placeholder(run)


def run_context(aws: Aws, stack: Stack, host: Instance, run: Run) -> RunContext:
    """The context of a run on `host`. Raises PneumoError if the stack has no hosts."""
    inventory = stack.hosts()
    if inventory is None:
        raise PneumoError(f"stack {stack.name} has no hosts yet", "pneumoctl up")

    def connect(host: Instance) -> SshLink:
        return SshLink(stack, with_training_host(inventory, host.id, host.private_ip), aws.console_output, aws.off)

    display, note = ignore_output_errors(ProgressDisplay(aws, run)), ignore_output_errors(console.note)
    return RunContext(aws, stack, host, connect(host), RunStore(aws, run.bucket, run.id), display, note, connect)


@dataclass
class ProgressDisplay:
    """Shows progress: a spinner on a terminal; elsewhere a line at each new phase or epoch, and every LINE_S."""

    aws: Aws
    run: Run
    _shown: tuple[Any, ...] = ()
    _at: float = 0.0

    def __call__(self, document: Mapping[str, Any]) -> None:
        from rich.markup import escape

        text = progress.describe(document, self._usd())
        key = document.get("phase"), document.get("epoch"), bool(document.get("gpu"))
        console.busy(escape(text))
        if key != self._shown or time.monotonic() - self._at > LINE_S:
            if key != self._shown or not console.rich(stderr=True).is_terminal:
                console.note(f"  {text}")
            self._shown, self._at = key, time.monotonic()

    def _usd(self) -> float | None:
        since = datetime.fromisoformat(self.run.deadline) - timedelta(seconds=self.run.max_runtime_s)
        hours = (scheduled_stop.now(self.aws) - since).total_seconds() / 3600
        return None if self.run.usd_per_hour is None else self.run.usd_per_hour * hours


def finalize_unattended(aws: Aws, stack: Stack, host: Instance, run: Run, verb: str = "") -> Summary:
    """Finalize a run that no client follows. `verb`: the command that ends it if it is still under way."""
    under_way = verb and host.state in ("pending", "running")
    ended = Outcome("cancelled", f"by pneumoctl {verb}") if under_way else Outcome("over")
    milestones = Milestones(start_requested=True, run_started=True)
    return finalize.finalize_run(run_context(aws, stack, host, run), run, milestones, ended)


def cancel(aws: Aws, stack: Stack, run: Run) -> int:
    """End an active run. If another pneumoctl follows it, only ask the run to stop: the other one finalizes it.

    What prevents it before it begins, a full disk at the lock's file included, is exit code 7: the GPU may be on.
    """
    with stop.confirming(aws, stack.name):
        context = _context_of_cancelled(aws, stack, run)
    try:
        with ExitStack() as held:
            with stop.confirming(aws, stack.name):
                held.enter_context(stack.gpu_locked("runs cancel"))
                act = held.enter_context(audit.recorded(stack, "runs cancel", {"run": run.id}))
                act.begin(audit.plan_digest(run))
            summary = _cancel_and_finalize(context, run)
            return fetch_and_report(stack, context.store, run, summary)
    except PneumoError as error:
        if error.code != Exit.LOCKED:
            raise
    context.link.stop_run()
    context.link.close()
    console.result({"stack": stack.name, "run": run.id, "changed": ["stop requested"]})
    console.text(f"asked run {run.id} to save a checkpoint and stop; the pneumoctl that follows it stops the GPU")
    return 0


def _context_of_cancelled(aws: Aws, stack: Stack, run: Run) -> RunContext:
    """The context of a run. Raises PneumoError (usage) if another run uses its host."""
    host = host_of(aws, stack, run)
    lease = scheduled_stop.lease_covering(scheduled_stop.listed(aws, stack.name), host.id, scheduled_stop.now(aws))
    if host.state in ("pending", "running") and lease and lease.run != run.id:
        message = f"run {run.id} is not under way: the GPU host {host.id} is used by {lease}"
        raise PneumoError(message, lease.next_command, Exit.USAGE)
    return run_context(aws, stack, host, run)


def _cancel_and_finalize(context: RunContext, run: Run) -> Summary:
    session = Session(context, run)
    session.milestones = Milestones(start_requested=True, run_started=True)

    def stop_run() -> Outcome:
        bound = f"{CHECKPOINT_S:.0f} s at most"
        console.note(f"asking the run to save a checkpoint and stop ({bound}); Ctrl-C stops the GPU at once")
        session.stop_with_checkpoint()
        return Outcome("cancelled", "by pneumoctl runs cancel", Exit.DONE)

    with Interrupts(lambda text: console.note(text, "yellow")) as interrupts:
        summary = run_and_finalize(session, interrupts, stop_run)
    assert summary is not None  # only Session.run leaves a run under way
    return summary


def fetch_and_report(stack: Stack, store: RunStore, run: Run, summary: Summary) -> int:
    """Fetch the results of a run whose GPU is off; return 0, or raise the PneumoError that says how the run ended."""
    receipt = summary.receipt
    details = {"run": run.id, "receipt": asdict(receipt)}
    if summary.stop_failure is not None:
        summary.stop_failure.details |= details
        raise summary.stop_failure
    good = receipt.exit == 0
    try:
        if not fetch_results(stack, store, run, good) and receipt.why == "done":
            raise PneumoError(f"run {run.id} is done, but left no bundle", "pneumoctl runs logs", Exit.TRAINING_FAILED)
    except PneumoError as error:
        if good:
            error.details |= details
            raise
    if good:
        return 0
    bill = "" if receipt.billed_s is None else f"; the GPU is off after {receipt.billed_s} s{_usd(receipt.usd)}"
    message = f"run {run.id}: {receipt.why}: {receipt.message or 'the reason is unknown'}{bill}"
    hint = f"pneumoctl runs logs {run.id}; to resume it from its checkpoint: pneumoctl train --gpu --resume"
    raise PneumoError(message, summary.hint or hint, receipt.exit, **details)


def _usd(usd: float | None) -> str:
    return "" if usd is None else f" and about ${usd:.2f}"


def fetch_results(stack: Stack, store: RunStore, run: Run, report: bool = True) -> bool:
    """Download a run's results and register its bundle; returns whether there is a bundle.

    `report`: print the results as those of the command.
    """
    folder = runs.results_directory(stack, run.id)
    names = store.download(folder)
    bundle = artifacts.register_bundle(folder)
    if not report:
        return bundle is not None
    receipt = runs.load_receipt(stack, run.id)
    document = asdict(receipt) if receipt else None
    console.result({"stack": stack.name, "run": asdict(run), "receipt": document, "files": names, "bundle": bundle})
    if receipt and receipt.billed_s is not None:
        console.text(
            f"run {run.id}: {receipt.why}; the GPU is off, billed {receipt.billed_s} s{_usd(receipt.usd)}, "
            f"ended by: {receipt.guard}"
        )
    if bundle:
        console.text(f"model {bundle['name']} {bundle['version']}: {bundle['folder']}")
    console.text(f"{counted(len(names), 'file')}: {folder}")
    return bundle is not None
