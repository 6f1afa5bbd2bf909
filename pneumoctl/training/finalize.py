"""Guard 4, the end of a run on the GPU: stopped and proven so, the schedule taken away, the receipt written."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import attribution, scheduled_stop, stop
from pneumoctl.gpu.stop import SETTLE_S
from pneumoctl.stack import runs
from pneumoctl.stack.runs import Receipt, Run
from pneumoctl.stack.stack import Stack
from pneumoctl.training import outcome, spot
from pneumoctl.training.artifacts import Store
from pneumoctl.training.host_link import Link
from pneumoctl.training.outcome import Ended

STOP_S = 300.0


AGAIN_S = 60.0  # after the host itself was asked to power off


WORDS_S = 20.0


HOST_FIRST_S = 120.0  # the host's own deadline comes so much earlier: its checkpoint still goes home


EARLIER = timedelta(minutes=2)  # a launch so long before the stop was armed is another one


@dataclass
class Ground:
    """What a run stands on."""

    aws: Aws
    stack: Stack
    host: Instance
    link: Link
    store: Store
    show: Callable[[Mapping[str, Any]], None]  # progress
    note: Callable[[str], None]
    reach: Callable[[Instance], Link]

    def move(self, host: Instance) -> None:
        """The run is on another host."""
        self.host, self.link = host, self.reach(host)


@dataclass
class Done:
    """How far it got."""

    starting: bool = False  # the instance may be on because of us
    begun: bool = False  # the run may be under way there
    over: bool = False  # the unit has ended
    code: int | None = None  # of the unit's main process


@dataclass(frozen=True)
class Closed:
    """The receipt, and why it is not known that the GPU is off, with what to type."""

    receipt: Receipt
    trouble: PneumoError | None


def host_seconds(run: Run, now: datetime) -> float:
    """How long the host may stay on from now: until a little before the account's deadline."""
    return max((host_deadline(run) - now).total_seconds(), 1.0)


def host_deadline(run: Run) -> datetime:
    """When the host ends the run by itself."""
    return datetime.fromisoformat(run.deadline) - timedelta(seconds=min(HOST_FIRST_S, run.max_runtime_s / 4))


def close(ground: Ground, run: Run, done: Done, ended: Ended) -> Closed:
    """Everything that must be at the end, the stop first; what fails after it is told and hinders nothing."""
    console, asked, trouble = _stop(ground, run, done) if done.starting else ("", False, None)
    there = done.starting and ground.host.spot == run.spot  # else its spot instance never came to be
    found = _instance(ground) if there else {}
    reason = (found.get("StateReason") or {}).get("Code", "")
    now = scheduled_stop.now(ground.aws)
    end = _last_words(ground) if done.begun and trouble is None else None
    deadline, launched = datetime.fromisoformat(run.deadline), _launched(run, found)
    off = outcome.off_at(found.get("StateTransitionReason") or "", asked, end, launched, now, deadline)
    if ended.why == "over":
        ended = outcome.told(end, off >= host_deadline(run), console, done.code)
    ended = outcome.taken(ended, reason)
    figures = runs.billed(launched, off if trouble is None else None, run.usd_per_hour) if launched else {}
    guard = ""
    if there and trouble is None and (figures or not found):  # else it never came up
        guard = attribution.stopper(console, reason, asked, off >= deadline, done.over or end is not None)
    receipt = Receipt(
        run.id,
        int(ended.code if trouble is None else Exit.GPU_NOT_STOPPED),
        ended.why,
        ended.message if trouble is None else trouble.message,
        guard,
        schedule=_unarm(ground, run) if trouble is None else "kept",
        attempt=run.attempt,
        **figures,
    )
    try:
        runs.save(ground.stack, run.reached("stopped" if trouble is None else "not confirmed stopped", now))
        runs.close(ground.stack, receipt)
    except (OSError, PneumoError) as error:
        ground.note(f"the receipt is not written: {error}")
    return Closed(receipt, trouble)


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
