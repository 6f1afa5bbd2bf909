"""Guard 4, the end of a run on the GPU: stop the host and prove it, delete its schedule, write the receipt."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pneumoctl.errors import Exit, PneumoError, unexpected
from pneumoctl.gpu import attribution, refusals, scheduled_stop, stop
from pneumoctl.gpu.stop import SETTLE_S
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Receipt, Run
from pneumoctl.training import outcome, spot
from pneumoctl.training.outcome import Outcome
from pneumoctl.training.run_context import Milestones, RunContext, Summary

STOP_S = 300.0
SECOND_STOP_S = 60.0  # after the host was asked to power itself off
REPORT_S = 20.0  # to wait for the host's end report in the bucket
HOST_FIRST_S = 120.0  # the host's deadline is so much earlier than the account's: time to upload its checkpoint
EARLIER = timedelta(minutes=2)  # a launch so long before the stop was armed was not for this run


def host_seconds_left(run: Run, now: datetime) -> float:
    """How long the host may stay on from now: until its own deadline, a little before the account's."""
    return max((host_deadline(run) - now).total_seconds(), 1.0)


def host_deadline(run: Run) -> datetime:
    """When the host ends the run by itself."""
    return datetime.fromisoformat(run.deadline) - timedelta(seconds=min(HOST_FIRST_S, run.max_runtime_s / 4))


@dataclass
class _Ending:
    """A run that is being finalized, with the results of the finalizers so far."""

    context: RunContext
    run: Run
    milestones: Milestones
    outcome: Outcome
    ask_host: bool = False  # the host ended the run itself, and only its end report tells how
    stop_failure: PneumoError | None = None  # why the GPU is not confirmed off
    console: str = ""
    stopped_here: bool = False  # the host still ran when it was stopped from here
    instance: Mapping[str, Any] = field(default_factory=dict)  # as EC2 describes it
    now: datetime = field(default_factory=lambda: datetime.now(UTC))  # when the stop was over
    report: Mapping[str, Any] | None = None  # the host's end report
    guard: str = ""
    schedule: str = "kept"
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def host_existed(self) -> bool:
        """Whether a host was started; EC2 may have refused it, and a spot instance may never have been launched."""
        started = self.milestones.start_requested and (self.stopped_here or not self.milestones.start_refused)
        return started and self.context.host.spot == self.run.spot

    @property
    def is_off(self) -> bool:
        """Whether the host is off as far as this run is concerned: stopped and proven, or never touched while off."""
        return self.stop_failure is None and self.outcome.code != Exit.GPU_NOT_STOPPED

    @property
    def deadline(self) -> datetime:
        """When the account stops the host."""
        return datetime.fromisoformat(self.run.deadline)

    def receipt(self) -> Receipt:
        """The receipt with what is known so far. Exit code 7 (the GPU may be on) overrides that of the run."""
        code, message = self.outcome.code, self.outcome.message
        if self.stop_failure is not None:
            code, message = Exit.GPU_NOT_STOPPED, self.stop_failure.message
        why, attempt = self.outcome.why, self.run.attempt
        return Receipt(
            self.run.id, int(code), why, message, self.guard, schedule=self.schedule, attempt=attempt, **self.figures
        )


def finalize_run(context: RunContext, run: Run, milestones: Milestones, ended: Outcome) -> Summary:
    """Run all finalizers, the stop first. The failure of one is reported, and the others still run."""
    ask_host = ended.why == "over"
    first = Outcome("lost", "how the run ended could not be determined") if ask_host else ended
    ending = _Ending(context, run, milestones, first, ask_host)
    if milestones.start_requested:
        ending.stop_failure = stop.unconfirmed(context.aws, run.stack, "the stop failed")  # until the stop is proven
    for what, finalizer in _FINALIZERS:
        try:
            finalizer(ending)
        except Exception as error:
            context.note(f"{what} failed: {error if isinstance(error, PneumoError) else unexpected(error)}")
    return Summary(ending.receipt(), ending.stop_failure, ending.outcome.hint)


def _stop_host(ending: _Ending) -> None:
    if ending.milestones.start_requested:
        with suppress(Exception):
            ending.console = ending.context.aws.console_output(ending.context.host.id)
        ending.stopped_here, ending.stop_failure = _stop(ending.context, ending.run, ending.milestones)


def _describe_host(ending: _Ending) -> None:
    """Get EC2's description of the host; without it, the receipt has no price."""
    context = ending.context
    ending.now = scheduled_stop.now(context.aws)
    if ending.host_existed:
        with suppress(Exception):
            groups = context.aws.items("ec2", "describe_instances", "Reservations", InstanceIds=[context.host.id])
            ending.instance = next(dict(described) for group in groups for described in group["Instances"])


def _read_end_report(ending: _Ending) -> None:
    """Wait briefly for the end report, which the host uploads while it powers off."""
    if not ending.milestones.run_started or ending.stop_failure is not None:
        return
    give_up = time.monotonic() + REPORT_S
    with suppress(Exception):
        while (report := ending.context.store.end_report()) is None and time.monotonic() < give_up:
            time.sleep(2)
        ending.report = report


def _determine_outcome(ending: _Ending) -> None:
    """How the run ended, when the host went off, what that cost and which guard ended the billing."""
    run, instance, report, stopped_here = ending.run, ending.instance, ending.report, ending.stopped_here
    reason = (instance.get("StateReason") or {}).get("Code", "")
    given_up = reason.startswith(refusals.GIVEN_UP)
    launched = None if given_up else _launched(run, instance)
    transition = instance.get("StateTransitionReason") or ""
    off = outcome.switched_off_at(transition, stopped_here, report, launched, ending.now, ending.deadline)
    ended = ending.outcome
    if ending.ask_host:
        late = off >= host_deadline(run)
        ended = outcome.outcome_from_host(report, late, ending.console, ending.milestones.exit_code)
    ended = outcome.as_spot_reclaim(ended, reason)
    ending.outcome = outcome.as_capacity_refusal(ended, run.type, reason)
    if launched:
        ending.figures = runs.billing_figures(launched, off if ending.stop_failure is None else None, run.usd_per_hour)
    if (
        ending.host_existed and ending.stop_failure is None and (ending.figures or not instance)
    ):  # else it never started
        unit_ended = ending.milestones.unit_ended or report is not None
        late = off >= ending.deadline
        ending.guard = attribution.stopped_by(ending.console, reason, stopped_here, late, unit_ended)


def _delete_schedule(ending: _Ending) -> None:
    """Delete the schedule. If this fails, it has no effect on a stopped host, and deletes itself after the deadline."""
    if not ending.is_off:  # then it must act
        return
    try:
        scheduled_stop.delete(ending.context.aws, ending.run.stack, ending.run.id)
        ending.schedule = "deleted"
    except PneumoError as error:
        message = f"the account-side stop stays armed until {ending.run.deadline}: {error.message}"
        ending.context.note(message)


def _write_record(ending: _Ending) -> None:
    phase = "stopped" if ending.is_off else "not confirmed stopped"
    runs.save(ending.context.stack, ending.run.with_phase(phase, ending.now))


def _write_receipt(ending: _Ending) -> None:
    runs.save_receipt(ending.context.stack, ending.receipt())


_FINALIZERS: tuple[tuple[str, Callable[[_Ending], None]], ...] = (
    ("stopping the GPU host", _stop_host),
    ("describing the GPU host", _describe_host),
    ("reading the host's end report", _read_end_report),
    ("determining how the run ended", _determine_outcome),
    ("deleting the account-side stop", _delete_schedule),
    ("writing the record", _write_record),
    ("writing the receipt", _write_receipt),
)


def _stop(context: RunContext, run: Run, milestones: Milestones) -> tuple[bool, PneumoError | None]:
    """Stop the host. Returns whether it still ran, and why it is not confirmed off (None if it is)."""
    states = list[str]()
    stop_failure: PneumoError | None = None

    def report(states_now: dict[str, str]) -> None:
        states.append(states_now.get(context.host.id, ""))

    for timeout in (STOP_S, SECOND_STOP_S):
        try:
            if _host_exists(context, run):
                context.aws.stop([context.host], report, timeout)
            if not milestones.run_started and not run.spot:
                time.sleep(SETTLE_S)
                context.aws.stop([context.host], report, timeout)
            stop_failure = None
            break
        except Exception as error:  # any error at all: the stop is not proven
            gpu_not_stopped = error if isinstance(error, PneumoError) and error.code == Exit.GPU_NOT_STOPPED else None
            stop_failure = gpu_not_stopped or stop.prevented(context.aws, run.stack, error)
            if timeout == STOP_S:
                with suppress(Exception):
                    context.link.power_off()
    with suppress(Exception):
        context.link.close()
    return any(state in ("running", "pending") for state in states), stop_failure


def _host_exists(context: RunContext, run: Run) -> bool:
    """Whether the run has a host. Searches for the spot instance if the answer to its launch was lost."""
    if run.spot and not context.host.spot:
        context.note("EC2 did not answer the launch of a spot instance: searching for it, for a minute at most")
        if instance := spot.find_by_run_tag(context.aws, run):
            context.host = instance
    return context.host.spot == run.spot


def _launched(run: Run, instance: Mapping[str, Any]) -> datetime | None:
    """When EC2 started the host for this run; None if it was not started."""
    if "LaunchTime" not in instance:
        return None
    started: datetime = instance["LaunchTime"].astimezone(UTC)
    armed = next((at for phase, at in reversed(run.phases) if phase == "armed"), None)
    return None if armed and started < datetime.fromisoformat(armed) - EARLIER else started
