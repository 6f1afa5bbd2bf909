"""`train --gpu`: start a run, follow an active one, or resume one from its checkpoint."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from pneumoctl.aws import prices
from pneumoctl.aws.ec2 import HALTED, HALTING, Aws, Instance
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import orphans, scheduled_stop, stop
from pneumoctl.stack import audit, runs
from pneumoctl.stack.audit import CommandRecord
from pneumoctl.stack.runs import Run
from pneumoctl.stack.stack import Stack
from pneumoctl.terminal.console import console
from pneumoctl.training import artifacts, attempts, collect, outcome, spot
from pneumoctl.training.artifacts import RunStore
from pneumoctl.training.request import SHORTEST_S, TrainingRequest


def train(aws: Aws, stack: Stack, request: TrainingRequest, act: CommandRecord) -> int:
    """Start a run on the GPU host, or resume one; returns the exit code of `pneumoctl train`."""
    with stop.requiring_answer(aws, stack.name, stack.may_have_training_host):
        host = collect.training_host(aws, stack)
    if request.resume:
        return _resume(aws, stack, host, request, act)
    _ensure_hosts_free(aws, stack)
    _settle_earlier_runs(aws, stack, host)
    run = _new_run(aws, stack, host, request)
    act.begin(audit.plan_digest(run))
    return attempts.run_attempts(aws, stack, host, run)


def _ensure_hosts_free(aws: Aws, stack: Stack) -> None:
    """Raise PneumoError (exit 5) if a run is active; stop a host that is on without a lease.

    A new host that boots for the first time is stopped after that: its boot script runs once.
    """
    with stop.confirming(aws, stack.name):
        on = [host for host in aws.training_hosts(stack.name) if host.state not in HALTED | HALTING]
        leases = {host.id: lease for host in on if (lease := orphans.awaited_lease(aws, host, stack.name))}
        listed = scheduled_stop.listed(aws, stack.name) if on else []
    for host, lease in leases.items():
        hint = f"to follow it: pneumoctl train --gpu --resume; to end it: pneumoctl runs cancel {lease.run}"
        raise PneumoError(f"the GPU host {host} is used by {lease}", hint, Exit.LOCKED)
    booting = [host for host in on if scheduled_stop.lease_covering(listed, host.id, scheduled_stop.now(aws))]
    if without_lease := [host for host in on if host not in booting]:
        console.note("the GPU host is on without a lease: stopping it first", "red")
        aws.stop(without_lease)
    if booting:
        console.note("the GPU host boots for the first time: waiting for the end of that", "yellow")
        ids = {host.id for host in booting}
        stop.stop_training_hosts(aws, stack.name, True, stop.FIRST_BOOT_S, lambda host: host.id not in ids)


def _settle_earlier_runs(aws: Aws, stack: Stack, host: Instance, except_run: str = "") -> None:
    """Finalize the runs that ended unattended, and delete the schedules that would stop the next run.

    The host must be off. `except_run`: a run that the caller finalizes. The schedule of another instance stays unless
    that is off: it may be a spot instance that another machine has just launched.
    """
    for run in runs.list_open(stack):
        if run.id == except_run or not (run.spot or run.instance == host.id):
            continue
        summary = collect.finalize_unattended(aws, stack, collect.host_of(aws, stack, run), run)
        if summary.stop_failure is not None:
            raise summary.stop_failure
        with suppress(PneumoError):  # `pneumoctl runs fetch` reports it
            collect.fetch_results(stack, RunStore(aws, run.bucket, run.id), run, report=False)
        console.note(f"run {run.id} had ended: {summary.receipt.why} (pneumoctl runs show {run.id})")
    leases = [lease for lease in scheduled_stop.listed(aws, stack.name) if lease.run != except_run]
    states = aws.states([id for lease in leases for id in lease.instances]) if leases else {}
    off = {host.id, *(id for id, state in states.items() if state in HALTED)}
    for lease in leases:
        if off.issuperset(lease.instances):
            scheduled_stop.delete(aws, stack.name, lease.run)


def _new_run(aws: Aws, stack: Stack, host: Instance, request: TrainingRequest) -> Run:
    """Create and save the run's record, before anything is started."""
    cloud = stack.require_aws("it has no GPU host", "pneumoctl train FOLDER")
    data, data_name = artifacts.latest_data_set(aws, cloud.bucket)
    now = scheduled_stop.now(aws)
    run = runs.Run(
        runs.new_id(now),
        stack.name,
        runs.GPU,
        runs.format_time(now),
        [*request.arguments, *request.name_arguments(data_name)],
        request.stall_s,
        0,
        data=data,
        type=host.type,
        region=aws.region,
        bucket=cloud.bucket,
        detached=request.detach,
    )
    run = _with_limits(aws, _with_market(run, host, request), request, now)
    runs.save(stack, run)
    return run


def _with_market(run: Run, host: Instance, request: TrainingRequest) -> Run:
    """The run on the stack's host, or on a spot instance, which has no id before its launch."""
    run = replace(run, market=request.market, spot_retries=request.spot_retries, fallback=request.fallback)
    return replace(run, instance="" if run.spot else host.id, address="")


def _with_limits(aws: Aws, run: Run, request: TrainingRequest, now: datetime) -> Run:
    """The run with its deadline: the runtime limit or the cost limit, whichever comes first.

    Raises PneumoError (exit 4) if the price is unknown and the cost therefore cannot be limited. The on-demand price
    is the upper bound of the spot price, so it converts the cost limit of a spot run, too.
    """
    usd, seconds = prices.current(aws, {run.type}).of(run.type), request.max_runtime_s
    if request.max_cost is not None:
        if not usd:
            message = f"the price of {run.type} in {aws.region} is unknown: the cost cannot be limited"
            raise PneumoError(message, "give --max-runtime instead of --max-cost", Exit.PREFLIGHT)
        seconds = min(seconds, int(request.max_cost / usd * 3600))
    if seconds < SHORTEST_S:
        message = f"${request.max_cost} pays for less than a minute of {run.type} at ${usd} an hour"
        raise PneumoError(message, "give a higher --max-cost, or set another gpu_type", Exit.PREFLIGHT)
    deadline = runs.format_time(now + timedelta(seconds=seconds))
    if run.spot:
        usd = spot.current_price(aws, run.type) or usd
    return replace(run, max_runtime_s=seconds, max_cost_usd=request.max_cost, usd_per_hour=usd, deadline=deadline)


def _resume(aws: Aws, stack: Stack, host: Instance, request: TrainingRequest, act: CommandRecord) -> int:
    """Follow the run if it is active, fetch its results if it is done, else start it from its checkpoint."""
    run = choose_run(stack, request.data_or_run)
    act.begin(audit.plan_digest(run))
    with stop.requiring_answer(aws, stack.name, may_have_gpu=True):
        current = collect.host_of(aws, stack, run)
        leases = scheduled_stop.listed(aws, stack.name)
    lease = scheduled_stop.lease_covering(leases, current.id, scheduled_stop.now(aws))
    if current.state in ("pending", "running") and lease and lease.run == run.id:
        return attempts.run_attempts(aws, stack, host, replace(run, detached=False), attach=True)
    _ensure_hosts_free(aws, stack)
    _settle_earlier_runs(aws, stack, host, except_run=run.id)
    store = RunStore(aws, run.bucket, run.id)
    report = store.end_report()
    if not runs.is_closed(stack, run):
        summary = collect.finalize_unattended(aws, stack, current, run)
        if summary.stop_failure or outcome.all_delivered(report):
            return collect.fetch_and_report(stack, store, run, summary)
    elif outcome.all_delivered(report):
        collect.fetch_results(stack, store, run)
        return 0
    store.delete_end_report()
    again = replace(_with_market(run, host, request), attempt=run.attempt + 1, detached=request.detach)
    again = _with_limits(aws, again, request, scheduled_stop.now(aws))
    runs.save(stack, again)
    return attempts.run_attempts(aws, stack, host, again, resume=True)


def choose_run(stack: Stack, name: str) -> Run:
    """The named run, else the newest one on the GPU."""
    if name:
        return runs.load(stack, name)
    on_gpu = [run for run in runs.load_all(stack) if run.where == runs.GPU]
    if not on_gpu:
        raise PneumoError(f"stack {stack.name} has no run on a GPU", "pneumoctl train --gpu", Exit.USAGE)
    return on_gpu[-1]
