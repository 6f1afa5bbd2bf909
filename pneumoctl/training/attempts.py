"""The attempts of a run on the GPU. Another attempt follows if AWS reclaimed the spot instance or had none."""

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime

from pneumoctl.aws import prices
from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.gpu import scheduled_stop
from pneumoctl.gpu.signals import Interrupts
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Run
from pneumoctl.stack.stack import Stack
from pneumoctl.terminal.console import console
from pneumoctl.training import collect
from pneumoctl.training.artifacts import RunStore
from pneumoctl.training.host_plan import Order
from pneumoctl.training.outcome import NO_SPOT, SPOT_RECLAIMED, Outcome
from pneumoctl.training.request import SHORTEST_S
from pneumoctl.training.run_context import Summary
from pneumoctl.training.session import Session, run_and_finalize


def run_attempts(aws: Aws, stack: Stack, host: Instance, run: Run, resume: bool = False, attach: bool = False) -> int:
    """Run attempts until no other one follows; returns the exit code. `host`: the stack's own GPU host."""
    while True:
        run, summary = _run_attempt(aws, stack, host, run, resume, attach)
        if summary is None:
            again = " --spot" if run.spot else ""
            console.result({"stack": stack.name, "run": asdict(run), "receipt": None})
            console.text(f"run {run.id} continues without this client; the GPU is off at {run.deadline} at the latest")
            console.text(f"to follow it and to download its results: pneumoctl train --gpu --resume{again}")
            return 0
        another = next_attempt(aws, stack, host, run, summary)
        if another is None:
            return collect.fetch_and_report(stack, RunStore(aws, run.bucket, run.id), run, summary)
        run, resume, attach = another, True, False


def _run_attempt(
    aws: Aws, stack: Stack, host: Instance, run: Run, resume: bool, attach: bool
) -> tuple[Run, Summary | None]:
    """The run's record after the attempt, and how the attempt ended; None for a detached run."""
    current = collect.host_of(aws, stack, run) if attach else host
    session = Session(collect.run_context(aws, stack, current, run), run)
    bound = "about" if run.spot else "at most"
    price = f", {bound} ${run.max_runtime_s / 3600 * run.usd_per_hour:.2f}" if run.usd_per_hour else ""
    kind = f"a spot {run.type}" if run.spot else run.type
    console.note(f"run {run.id} on {kind}: until {run.deadline} at the latest{price}")

    def start() -> Outcome | None:
        return session.run(order_for(run, resume))

    action: Callable[[], Outcome | None] = session.attach if attach else start
    with Interrupts(lambda text: console.note(text, "yellow")) as interrupts:
        try:
            summary = run_and_finalize(session, interrupts, action)
            return session.record, summary
        finally:
            console.idle()


def next_attempt(aws: Aws, stack: Stack, host: Instance, run: Run, summary: Summary) -> Run | None:
    """The record of the next attempt, after AWS reclaimed the spot instance or had none; None after the last one.

    The deadline stays: waiting between two attempts costs nothing, but takes time.
    """
    why = summary.receipt.why
    left = datetime.fromisoformat(run.deadline) - scheduled_stop.now(aws)
    if summary.stop_failure is not None or why not in (NO_SPOT, SPOT_RECLAIMED) or left.total_seconds() < SHORTEST_S:
        return None
    again = replace(run, attempt=run.attempt + 1, instance="", address="", spot_retries=run.spot_retries - 1)
    if why == NO_SPOT or again.spot_retries < 0:
        if not run.fallback:
            return None
        usd = prices.current(aws, {run.type}).of(run.type)
        again = replace(again, instance=host.id, market=runs.ON_DEMAND, usd_per_hour=usd)
    reason = summary.receipt.message or why
    console.note(f"{reason}: the run goes on, {again.market}, from its checkpoint", "yellow")
    RunStore(aws, run.bucket, run.id).delete_end_report()
    runs.save(stack, again)
    return again


def order_for(run: Run, resume: bool) -> Order:
    """The order to send to the host."""
    return Order(
        run.id,
        run.stack,
        run.bucket,
        run.region,
        run.data,
        tuple(run.arguments),
        resume,
        stall_s=run.stall_s,
        spot=run.spot,
    )
