"""`train --gpu`: a run ordered, or one that goes on or is over taken up again."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from pneumoctl.aws import prices
from pneumoctl.aws.ec2 import HALTED, HALTING, Aws, Instance
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import scheduled_stop
from pneumoctl.stack import audit, runs
from pneumoctl.stack.audit import Act
from pneumoctl.stack.runs import Run
from pneumoctl.stack.stack import Stack
from pneumoctl.terminal.console import console
from pneumoctl.training import artifacts, attempts, collect, outcome, spot
from pneumoctl.training.artifacts import Store
from pneumoctl.training.request import SHORTEST_S, Wish


def train(aws: "Aws", stack: "Stack", wish: "Wish", act: "Act") -> int:
    """Start a run on the GPU host, or resume one; returns the exit code of `pneumoctl train`."""
    host = collect.training_host(aws, stack)
    if wish.resume:
        return _resume(aws, stack, host, wish, act)
    _free(aws, stack)
    _settle(aws, stack, host)
    run = _ordered(aws, stack, host, wish)
    act.begin(audit.digest(run))
    return attempts.conduct(aws, stack, host, run)


def _free(aws: "Aws", stack: "Stack") -> None:
    """PneumoError (exit 5) where a run goes on; what runs without a lease is stopped."""
    on = [one for one in aws.training_hosts(stack.name) if one.state not in HALTED | HALTING]
    leases = scheduled_stop.listed(aws, stack.name) if on else []
    for host in on:
        if lease := scheduled_stop.covering(leases, host.id, scheduled_stop.now(aws)):
            hint = f"follow it: pneumoctl train --gpu --resume; or end it: pneumoctl runs cancel {lease.run}"
            raise PneumoError(f"run {lease.run} goes on there, at most until {lease.until}", hint, Exit.LOCKED)
    if on:
        console.note("the GPU host runs without a lease: it is stopped first", "red")
        aws.stop(on)


def _settle(aws: "Aws", stack: "Stack", host: "Instance", but: str = "") -> None:
    """Collect what ended unseen, and take every stop away that is still armed: it would end the run to come.

    The host is off. `but`: a run that is seen to elsewhere.
    """
    for run in runs.opened(stack):
        if run.id == but or not (run.spot or run.instance == host.id):
            continue
        closed = collect.collect(aws, stack, collect.host_of(aws, stack, run), run)
        if closed.trouble is not None:
            raise closed.trouble
        with suppress(PneumoError):  # pneumoctl runs fetch
            collect.fetch(stack, Store(aws, run.bucket, run.id), run, tell=False)
        console.note(f"run {run.id} had ended: {closed.receipt.why} (pneumoctl runs show {run.id})")
    for lease in scheduled_stop.listed(aws, stack.name):
        if lease.run != but:
            scheduled_stop.delete(aws, stack.name, lease.run)


def _ordered(aws: "Aws", stack: "Stack", host: "Instance", wish: "Wish") -> "Run":
    """The record, written before anything else is done."""
    cloud = stack.cloud()
    assert cloud is not None  # site.require
    data, called = artifacts.data(aws, cloud.bucket)
    now = scheduled_stop.now(aws)
    run = runs.Run(
        runs.new_id(now),
        stack.name,
        runs.GPU,
        runs.stamp(now),
        [*wish.arguments, *wish.named(called)],
        wish.stall_s,
        0,
        data=data,
        type=host.type,
        region=aws.region,
        bucket=cloud.bucket,
        detached=wish.detach,
    )
    run = _bounded(aws, _placed(run, host, wish), wish, now)
    runs.save(stack, run)
    return run


def _placed(run: "Run", host: "Instance", wish: "Wish") -> "Run":
    """On the stack's host, or on a spot instance that is still to be had."""
    run = replace(run, market=wish.market, spot_retries=wish.spot_retries, fallback=wish.fallback)
    return replace(run, instance="" if run.spot else host.id, address="")


def _bounded(aws: "Aws", run: "Run", wish: "Wish", now: datetime) -> "Run":
    """With its deadline: whichever of time and cost is up first. PneumoError (exit 4) for a cost nobody can know.

    A spot instance costs at most what one on demand does: its cost is kept to by that price.
    """
    listed = prices.current(aws, {run.type})
    usd, seconds = listed.of(run.type), wish.max_runtime_s
    if wish.max_cost is not None:
        if not usd:
            message = f"the price of {run.type} in {aws.region} is not known, so no cost can be kept to"
            raise PneumoError(message, "give --max-runtime instead of --max-cost", Exit.PREFLIGHT)
        seconds = min(seconds, int(wish.max_cost / usd * 3600))
    if seconds < SHORTEST_S:
        message = f"${wish.max_cost} is less than a minute of {run.type} at ${usd} an hour"
        raise PneumoError(message, "give more, or another gpu_type", Exit.PREFLIGHT)
    deadline = runs.stamp(now + timedelta(seconds=seconds))
    if run.spot:
        usd = spot.price(aws, run.type) or usd
    return replace(run, max_runtime_s=seconds, max_cost_usd=wish.max_cost, usd_per_hour=usd, deadline=deadline)


def _resume(aws: "Aws", stack: "Stack", host: "Instance", wish: "Wish", act: "Act") -> int:
    """Follow it where it goes on, collect it where it is done, else let it go on from its checkpoint."""
    run = chosen(stack, wish.first)
    act.begin(audit.digest(run))
    there = collect.host_of(aws, stack, run)
    lease = scheduled_stop.covering(scheduled_stop.listed(aws, stack.name), there.id, scheduled_stop.now(aws))
    if there.state in ("pending", "running") and lease and lease.run == run.id:
        return attempts.conduct(aws, stack, host, replace(run, detached=False), attach=True)
    _free(aws, stack)
    _settle(aws, stack, host, but=run.id)
    store = Store(aws, run.bucket, run.id)
    end = store.end()
    if not runs.settled(stack, run):
        closed = collect.collect(aws, stack, there, run)
        if closed.trouble or outcome.delivered(end):
            return collect.finish(stack, store, run, closed)
    elif outcome.delivered(end):
        collect.fetch(stack, store, run)
        return 0
    store.forget_end()
    again = replace(_placed(run, host, wish), attempt=run.attempt + 1, detached=wish.detach)
    again = _bounded(aws, again, wish, scheduled_stop.now(aws))
    runs.save(stack, again)
    return attempts.conduct(aws, stack, host, again, resume=True)


def chosen(stack: "Stack", name: str) -> "Run":
    """The run that is named, else the newest on the GPU."""
    if name:
        return runs.load(stack, name)
    found = [one for one in runs.every(stack) if one.where == runs.GPU]
    if not found:
        raise PneumoError(f"stack {stack.name} has no run on a GPU", "pneumoctl train --gpu", Exit.USAGE)
    return found[-1]
