"""The attempts of a run on the GPU: one, and another where AWS takes a spot instance back or has none."""

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
from pneumoctl.training import session as training
from pneumoctl.training.artifacts import Store
from pneumoctl.training.host_plan import Order
from pneumoctl.training.outcome import NO_SPOT, TAKEN
from pneumoctl.training.request import SHORTEST_S
from pneumoctl.training.run_context import Closed


def conduct(
    aws: "Aws", stack: "Stack", host: "Instance", run: "Run", resume: bool = False, attach: bool = False
) -> int:
    """Attempt after attempt, where AWS takes spot instances back; `host`: the stack's own."""
    while True:
        run, closed = _attempt(aws, stack, host, run, resume, attach)
        if closed is None:
            again = " --spot" if run.spot else ""
            console.result({"stack": stack.name, "run": asdict(run), "receipt": None})
            console.text(f"run {run.id} goes on alone and ends with the GPU off, at {run.deadline} at the latest")
            console.text(f"its results: pneumoctl train --gpu --resume{again}   (follows it while it goes on)")
            return 0
        after = following(aws, stack, host, run, closed)
        if after is None:
            return collect.finish(stack, Store(aws, run.bucket, run.id), run, closed)
        run, resume, attach = after, True, False


def _attempt(
    aws: "Aws", stack: "Stack", host: "Instance", run: "Run", resume: bool, attach: bool
) -> "tuple[Run, Closed | None]":
    """The run as it is known then, and how the attempt ended; None if it goes on without us."""
    there = collect.host_of(aws, stack, run) if attach else host
    session = training.Session(collect.ground(aws, stack, there, run), run)
    bound = "about" if run.spot else "at most"
    price = f", {bound} ${run.max_runtime_s / 3600 * run.usd_per_hour:.2f}" if run.usd_per_hour else ""
    kind = f"a spot {run.type}" if run.spot else run.type
    console.note(f"run {run.id} on {kind}: until {run.deadline} at the latest{price}")
    with Interrupts(lambda text: console.note(text, "yellow")) as interrupts:
        try:
            go = session.attach if attach else lambda: session.course(order(run, resume))
            closed = training.conduct(session, interrupts, go)
            return session.run, closed
        finally:
            console.idle()


def following(aws: "Aws", stack: "Stack", host: "Instance", run: "Run", closed: "Closed") -> "Run | None":
    """The attempt after one that AWS took the spot instance of, or had none for; None where that was the last.

    The deadline stays: what waits between two attempts costs nothing and is time all the same.
    """
    why = closed.receipt.why
    left = datetime.fromisoformat(run.deadline) - scheduled_stop.now(aws)
    if closed.trouble is not None or why not in (NO_SPOT, TAKEN) or left.total_seconds() < SHORTEST_S:
        return None
    again = replace(run, attempt=run.attempt + 1, instance="", address="", spot_retries=run.spot_retries - 1)
    if why == NO_SPOT or again.spot_retries < 0:
        if not run.fallback:
            return None
        usd = prices.current(aws, {run.type}).of(run.type)
        again = replace(again, instance=host.id, market=runs.ON_DEMAND, usd_per_hour=usd)
    console.note(f"{closed.receipt.message or why}: the run goes on, {again.market}, from its checkpoint", "yellow")
    Store(aws, run.bucket, run.id).forget_end()
    runs.save(stack, again)
    return again


def order(run: "Run", resume: bool) -> "Order":
    """What the host is told."""
    words, stall = tuple(run.arguments), run.stall_s
    return Order(run.id, run.stack, run.bucket, run.region, run.data, words, resume, stall_s=stall, spot=run.spot)
