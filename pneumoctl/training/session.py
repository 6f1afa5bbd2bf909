"""One attempt of a run on the GPU: schedule the stop in AWS, start the host, follow the run; stop it at every exit."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import refusals, scheduled_stop
from pneumoctl.gpu import stop as gpu
from pneumoctl.gpu.signals import Interrupted, Interrupts
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Run
from pneumoctl.training import finalize, outcome, spot
from pneumoctl.training.finalize import host_seconds_left
from pneumoctl.training.host_link import HostEvent
from pneumoctl.training.host_plan import Order
from pneumoctl.training.outcome import Outcome
from pneumoctl.training.progress import CHECKPOINT_S, LOST_CHECK_S, Contact, ProgressWatch
from pneumoctl.training.run_context import Milestones, RunContext, Summary

BOOT_S = 600.0
STOPPING_S = 300.0  # how long an instance that is still stopping may take before it can be started


class Session:
    """One attempt of a run. If an exception ends `run` at any point, `run_and_finalize` finalizes the run."""

    def __init__(self, context: RunContext, record: Run) -> None:
        self.context, self.record, self.milestones = context, record, Milestones()

    def run(self, order: Order) -> Outcome | None:
        """Start the host, start the training and follow it. Returns None for a detached run."""
        context = self.context
        if self.record.spot:
            self._launch_spot_instance()
        else:
            self._arm_scheduled_stop()
            self._start_host()
            self._record_phase("started")
        record = self.record
        context.link.wait_until_ready(BOOT_S)
        self._record_phase("up")
        self.milestones.run_started = True
        context.link.start_run(order, lambda: host_seconds_left(record, scheduled_stop.now(context.aws)))
        self._record_phase("begun")
        return None if record.detached else self.follow()

    def attach(self) -> Outcome:
        """Follow a run that was started before."""
        self.milestones = Milestones(start_requested=True, run_started=True)
        return self.follow()

    def _record_phase(self, phase: str) -> None:
        """Write the phase to the run's record. A full disk on this machine does not end the run."""
        self.record = self.record.with_phase(phase, scheduled_stop.now(self.context.aws))
        with suppress(OSError):
            runs.save(self.context.stack, self.record)

    def _arm_scheduled_stop(self) -> None:
        aws, record = self.context.aws, self.record
        scheduled_stop.arm(aws, record.stack, record.id, self.context.host, datetime.fromisoformat(record.deadline))
        self._record_phase("armed")

    def _launch_spot_instance(self) -> None:
        """Launch the spot instance, then arm its scheduled stop.

        The other order is impossible: a spot instance starts running, and a stop can only be armed for an existing
        instance. Until then the host's own timer and every exit of this attempt end it.
        """
        context = self.context
        context.note(f"launching a spot {context.host.type}; the account terminates it at {self.record.deadline}")
        self.milestones.start_requested = True  # before the request: its answer may get lost
        try:
            host = spot.launch(context.aws, context.host, self.record)
        except PneumoError as error:
            self.milestones.start_requested = "spot" not in error.details  # else EC2 says that it launched none
            raise
        context.switch_host(host)
        self.record = replace(self.record, instance=host.id, address=host.private_ip)
        self._record_phase("started")
        self._arm_scheduled_stop()
        spot.wait_until_visible(context.aws, host)

    def _start_host(self) -> None:
        aws, host = self.context.aws, self.context.host
        give_up = time.monotonic() + STOPPING_S
        while (state := aws.states([host.id]).get(host.id, "gone")) != "stopped":
            if state != "stopping" or time.monotonic() > give_up:
                raise gpu.in_use(aws, self.record.stack, host, state, self.record.id)
            time.sleep(2)
        if not gpu.shutdown_ends_billing(aws, host):
            message = f"EC2 would not stop the GPU host {host.id} when it powers itself off; nothing was started"
            raise PneumoError(message, "pneumoctl up", Exit.PREFLIGHT)
        deadline = self.record.deadline
        self.context.note(f"starting the GPU host {host.id} ({host.type}); the account stops it at {deadline}")
        self.milestones.start_requested = True  # before the request: its answer may get lost
        try:
            aws.call("ec2", "start_instances", InstanceIds=[host.id])
        except PneumoError as error:
            self.milestones.start_refused = refusals.is_refusal(error)
            if refusals.is_unavailable(error):
                raise refusals.no_capacity(host.type, error.message) from error
            raise
        if scheduled_stop.read(aws, self.record.stack, self.record.id) is None:  # deleted by somebody since
            scheduled_stop.arm(aws, self.record.stack, self.record.id, host, datetime.fromisoformat(deadline))

    def follow(self) -> Outcome:
        """Follow the run until it ends: by itself, at its deadline, or because it makes no progress."""
        now = time.monotonic()
        watch, contact = ProgressWatch(self.record.id, self.record.stall_s, now), Contact(checked=now)
        while True:
            event, now = self.context.link.next_event(1.0), time.monotonic()
            if event and event.ended:
                return self._note_end(event)
            if event:
                self._show_progress(event, watch, now)
                contact.update(event.lost)
            if scheduled_stop.now(self.context.aws) >= datetime.fromisoformat(self.record.deadline):
                return Outcome("over") if self._host_is_off() else _deadline_reached()
            if contact.check_due(now):
                if self._host_is_off():
                    return Outcome("over")
                if contact.host_is_on():
                    message = f"the host does not answer; the run continues without this client: {contact.lost}"
                    self.context.note(message)
            if watch.stalled(now) and not (contact.lost and self._wrote_recently()):
                return self._end_stalled(contact.lost)

    def _show_progress(self, event: HostEvent, watch: ProgressWatch, now: float) -> None:
        if event.progress is not None and watch.update(event.progress, now):
            self.context.show_progress(watch.latest)

    def _note_end(self, event: HostEvent) -> Outcome:
        self.milestones.unit_ended, self.milestones.exit_code = True, event.exit_code
        return Outcome("over")

    def _end_stalled(self, lost: str) -> Outcome:
        stall_s = self.record.stall_s
        if lost:
            return Outcome("lost", f"the host did not answer for {stall_s} s: {lost}")
        self.context.note(f"the run made no progress for {stall_s} s: asking it to stop")
        self.stop_with_checkpoint()
        return Outcome("stalled", f"the run made no progress for {stall_s} s")

    def _host_is_off(self) -> bool:
        return self.context.aws.off(self.context.host.id)

    def _wrote_recently(self) -> bool:
        """Whether a host that this machine cannot reach has written to the bucket recently.

        True where the bucket cannot be read: the deadline still bounds the run.
        """
        with suppress(PneumoError):
            written = self.context.store.last_written()
            limit = timedelta(seconds=self.record.stall_s)
            return written is not None and scheduled_stop.now(self.context.aws) - written < limit
        return True

    def stop_with_checkpoint(self) -> None:
        """Ask the run to save a checkpoint and stop; wait at most CHECKPOINT_S seconds for its end."""
        checked = time.monotonic()
        give_up, asked = checked + CHECKPOINT_S, False
        while time.monotonic() < give_up:
            with suppress(PneumoError):
                if not asked:
                    self.context.link.stop_run()
                    asked = True
            event = self.context.link.next_event(1.0)
            if event and event.ended:
                self._note_end(event)
                return
            if time.monotonic() - checked >= LOST_CHECK_S:
                checked = time.monotonic()
                if self._host_is_off():
                    return


def _deadline_reached() -> Outcome:
    return Outcome("deadline", "its deadline is reached", Exit.CAP_REACHED)


def run_and_finalize(session: Session, interrupts: Interrupts, action: Callable[[], Outcome | None]) -> Summary | None:
    """Run `action`, then finalize the run after every outcome. Returns None for a detached run, which continues."""
    ended: Outcome | None
    try:
        with interrupts.raising():
            ended = action()
    except Interrupted as stop:
        ended = Outcome("interrupted", str(stop), stop.code)
        if session.milestones.run_started:
            _save_checkpoint(session, interrupts)
    except BaseException as error:  # any error at all: a GPU may be on
        milestones = session.milestones
        ended = outcome.outcome_from_error(error, milestones.start_requested and not milestones.start_refused)
    if ended is None:
        session.context.link.close(release=True)
        return None
    return finalize.finalize_run(session.context, session.record, session.milestones, ended)


def _save_checkpoint(session: Session, interrupts: Interrupts) -> None:
    session.context.note(
        f"asking the run to save a checkpoint and stop ({CHECKPOINT_S:.0f} s at most); "
        "another interrupt stops the GPU at once"
    )
    with suppress(BaseException), interrupts.raising():  # an error or another interrupt leads to the stop, too
        session.stop_with_checkpoint()
