"""Guard 4, the end of a run on the GPU: stopped and proven so, the schedule taken away, the receipt written."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import attribution, scheduled_stop, stop
from pneumoctl.gpu.stop import SETTLE_S
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Receipt, Run
from pneumoctl.training import outcome, spot
from pneumoctl.training.outcome import Ended
from pneumoctl.training.run_context import Closed, Done, Ground

STOP_S = 300.0
AGAIN_S = 60.0  # after the host itself was asked to power off
WORDS_S = 20.0
HOST_FIRST_S = 120.0  # the host's own deadline comes so much earlier: its checkpoint still goes home
EARLIER = timedelta(minutes=2)  # a launch so long before the stop was armed is another one


def host_seconds(run: Run, now: datetime) -> float:
    """How long the host may stay on from now: until a little before the account's deadline."""
    return max((host_deadline(run) - now).total_seconds(), 1.0)


def host_deadline(run: Run) -> datetime:
    """When the host ends the run by itself."""
    return datetime.fromisoformat(run.deadline) - timedelta(seconds=min(HOST_FIRST_S, run.max_runtime_s / 4))


@dataclass
class _Ending:
    """A run that is being finalized: what each finalizer learns for those after it."""

    ground: Ground
    run: Run
    done: Done
    ended: Ended
    over: bool = False  # the host ended the run itself, and only its report tells how
    trouble: PneumoError | None = None  # why the GPU is not known to be off
    console: str = ""
    asked: bool = False  # the host still ran when it was stopped from here
    found: Mapping[str, Any] = field(default_factory=dict)  # the instance, as EC2 describes it
    now: datetime = field(default_factory=lambda: datetime.now(UTC))  # when the stop was over
    end: Mapping[str, Any] | None = None  # the host's last report
    guard: str = ""
    schedule: str = "kept"
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def existed(self) -> bool:
        """Whether there was a host; a spot instance may never have come to be."""
        return self.done.starting and self.ground.host.spot == self.run.spot

    @property
    def deadline(self) -> datetime:
        """When the account stops the host."""
        return datetime.fromisoformat(self.run.deadline)

    def receipt(self) -> Receipt:
        """Exit code 7, the GPU may be on, outranks how the run itself ended."""
        code, message = (
            (self.ended.code, self.ended.message)
            if self.trouble is None
            else (Exit.GPU_NOT_STOPPED, self.trouble.message)
        )
        return Receipt(
            self.run.id,
            int(code),
            self.ended.why,
            message,
            self.guard,
            schedule=self.schedule,
            attempt=self.run.attempt,
            **self.figures,
        )


def close(ground: Ground, run: Run, done: Done, ended: Ended) -> Closed:
    """Run all finalizers, the stop first. One that fails is reported and keeps none of the others from running."""
    over = ended.why == "over"
    known = Ended("lost", "how the run ended could not be determined") if over else ended
    ending = _Ending(ground, run, done, known, over)
    if done.starting:
        ending.trouble = stop.unconfirmed(ground.aws, run.stack, "the stop failed")  # until it is proven
    for what, finalizer in _FINALIZERS:
        try:
            finalizer(ending)
        except Exception as error:
            ground.note(f"{what} failed: {error}")
    return Closed(ending.receipt(), ending.trouble)


def _stop_host(ending: _Ending) -> None:
    if ending.done.starting:
        ending.console, ending.asked, ending.trouble = _stop(ending.ground, ending.run, ending.done)


def _describe_host(ending: _Ending) -> None:
    ending.now = scheduled_stop.now(ending.ground.aws)
    if ending.existed:
        ending.found = _instance(ending.ground)


def _read_last_report(ending: _Ending) -> None:
    if ending.done.begun and ending.trouble is None:
        ending.end = _last_words(ending.ground)


def _determine_outcome(ending: _Ending) -> None:
    """How the run ended, when the host went off, what that cost and which guard ended the bill."""
    run, found, end = ending.run, ending.found, ending.end
    launched = _launched(run, found)
    transition = found.get("StateTransitionReason") or ""
    off = outcome.off_at(transition, ending.asked, end, launched, ending.now, ending.deadline)
    reason = (found.get("StateReason") or {}).get("Code", "")
    ended = ending.ended
    if ending.over:
        ended = outcome.told(end, off >= host_deadline(run), ending.console, ending.done.code)
    ending.ended = outcome.taken(ended, reason)
    if launched:
        ending.figures = runs.billed(launched, off if ending.trouble is None else None, run.usd_per_hour)
    if ending.existed and ending.trouble is None and (ending.figures or not found):  # else it never came up
        over = ending.done.over or end is not None
        ending.guard = attribution.stopper(ending.console, reason, ending.asked, off >= ending.deadline, over)


def _disarm(ending: _Ending) -> None:
    if ending.trouble is None:
        ending.schedule = _unarm(ending.ground, ending.run)


def _write_record(ending: _Ending) -> None:
    phase = "stopped" if ending.trouble is None else "not confirmed stopped"
    runs.save(ending.ground.stack, ending.run.reached(phase, ending.now))


def _write_receipt(ending: _Ending) -> None:
    runs.close(ending.ground.stack, ending.receipt())


_FINALIZERS: tuple[tuple[str, Callable[[_Ending], None]], ...] = (
    ("stopping the GPU host", _stop_host),
    ("describing the GPU host", _describe_host),
    ("reading the host's last report", _read_last_report),
    ("determining how the run ended", _determine_outcome),
    ("deleting the account-side stop", _disarm),
    ("writing the record", _write_record),
    ("writing the receipt", _write_receipt),
)


def _stop(ground: Ground, run: Run, done: Done) -> tuple[str, bool, PneumoError | None]:
    """What its console said; whether it still ran of its own will; why it is not known to be off, None if it is."""
    console, states = "", list[str]()
    trouble: PneumoError | None = None
    with suppress(Exception):
        console = ground.aws.console_output(ground.host.id)

    def report(found: dict[str, str]) -> None:
        states.append(found.get(ground.host.id, ""))

    for patience in (STOP_S, AGAIN_S):
        try:
            if _there(ground, run):
                ground.aws.stop([ground.host], report, patience)
            if not done.begun and not run.spot:
                time.sleep(SETTLE_S)
                ground.aws.stop([ground.host], report, patience)
            trouble = None
            break
        except Exception as error:  # whatever it is, nothing is proven
            known = error if isinstance(error, PneumoError) and error.code == Exit.GPU_NOT_STOPPED else None
            trouble = known or stop.unconfirmed(ground.aws, run.stack, str(error))
            if patience == STOP_S:
                with suppress(Exception):
                    ground.link.power_off()
    with suppress(Exception):
        ground.link.close()
    asked = any(state in ("running", "pending") for state in states)
    return console, asked, trouble


def _there(ground: Ground, run: Run) -> bool:
    """Whether there is a host of the run: also a spot instance whose order was not answered."""
    if run.spot and not ground.host.spot:
        ground.note("the order of a spot instance was not answered: a minute at most is spent to look for it")
        if found := spot.sought(ground.aws, run):
            ground.host = found
    return ground.host.spot == run.spot


def _instance(ground: Ground) -> dict[str, Any]:
    """As EC2 describes it; nothing where it does not: the price is an empty line on the receipt."""
    with suppress(Exception):
        groups = ground.aws.items("ec2", "describe_instances", "Reservations", InstanceIds=[ground.host.id])
        return next(dict(one) for group in groups for one in group["Instances"])
    return {}


def _launched(run: Run, found: Mapping[str, Any]) -> datetime | None:
    """When EC2 started it for this run; None: never."""
    if "LaunchTime" not in found:
        return None
    started: datetime = found["LaunchTime"].astimezone(UTC)
    armed = next((at for phase, at in reversed(run.phases) if phase == "armed"), None)
    return None if armed and started < datetime.fromisoformat(armed) - EARLIER else started


def _last_words(ground: Ground) -> Mapping[str, Any] | None:
    """How the host says that it ended; what it sent while it went off is waited for a little, and costs nothing."""
    until = time.monotonic() + WORDS_S
    with suppress(Exception):
        while (end := ground.store.end()) is None and time.monotonic() < until:
            time.sleep(2)
        return end
    return None


def _unarm(ground: Ground, run: Run) -> str:
    try:
        scheduled_stop.delete(ground.aws, run.stack, run.id)
        return "deleted"
    except PneumoError as error:  # it stops what is stopped, and goes by itself
        ground.note(f"the account-side stop stays armed until {run.deadline}: {error.message}")
        return "kept"
