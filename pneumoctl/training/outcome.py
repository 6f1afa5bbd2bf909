"""How a run on the GPU ended: the name of the reason, the exit code, and when the host went off. Pure."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pneumoctl.errors import Exit, PneumoError, unexpected
from pneumoctl.gpu import refusals
from pneumoctl.gpu.attribution import SPOT_RECLAIM, TIMER_LINE, UNIT_LINE, last_match

SPOT_RECLAIMED, NO_SPOT = "spot", "no spot"  # why the attempt of a run on a spot instance ended
NO_CAPACITY = "no capacity"  # why a run on the stack's host ended before its start
POWER_OFF_TIME = timedelta(seconds=60)  # from the end report to the instance off: an upper estimate
NOT_RESUMABLE = "not resumable"  # from its checkpoint: of other data, or of a version that alters films in another way
_HINTS = {NOT_RESUMABLE: "to start a new run: pneumoctl train --gpu"}
_CODES = {"done": Exit.DONE, "deadline": Exit.CAP_REACHED, SPOT_RECLAIMED: Exit.CAP_REACHED}
_TIMER_REASONS = {"deadline": "deadline", "stalled": "stalled", "no GPU seen": "no gpu"}  # as guard.py writes them


@dataclass(frozen=True)
class Outcome:
    """The reason `why` in one or two words, a message, and the exit code, which is only valid if the GPU is off.

    `hint`: the next command, if this outcome has one of its own.
    """

    why: str
    message: str = ""
    code: int = Exit.TRAINING_FAILED
    hint: str = ""


def outcome_from_host(
    report: Mapping[str, Any] | None, late: bool, console: str = "", exit_code: int | None = None
) -> Outcome:
    """The outcome according to the host's end report (end.json), else according to its console.

    late: the host's deadline has passed. exit_code: of the unit's main process, where it is known.
    """
    if report is None:
        reason = last_match(TIMER_LINE, console)
        unit = last_match(UNIT_LINE, console) or ("" if exit_code is None else f"exit {exit_code}")
        why = _TIMER_REASONS.get(reason, "deadline" if late else "failed" if unit else "lost")
        message = f"the host's timer: {reason}" if reason else "the host's end report did not reach the bucket"
        message += f"; its unit ended ({unit})" if unit else ""
        return Outcome(why, message, _CODES.get(why, Exit.TRAINING_FAILED))
    why, message = str(report.get("why")), str(report.get("message") or "")
    if why in ("stopped", "killed") and late:
        why = "deadline"
    if why == "done" and not all_delivered(report):
        missed = report["missed"]
        return Outcome("not sent", f"trained, but not all results are in the bucket: {missed[0]}", Exit.TRAINING_FAILED)
    return Outcome(why, message, _CODES.get(why, Exit.TRAINING_FAILED), _HINTS.get(why, ""))


def all_delivered(report: Mapping[str, Any] | None) -> bool:
    """Whether a run is done and all its results are in the bucket, according to the host's end report."""
    return report is not None and report.get("why") == "done" and not report.get("missed")


def as_spot_reclaim(outcome: Outcome, reason: str) -> Outcome:
    """The outcome of a run that failed because AWS reclaimed its spot instance; any other is returned as it is.

    reason: EC2's, for the state of the host.
    """
    if outcome.why in ("failed", "killed", "lost", "stopped") and reason.startswith(SPOT_RECLAIM):
        return Outcome(SPOT_RECLAIMED, f"AWS reclaimed the spot instance: {outcome.message}", _CODES[SPOT_RECLAIMED])
    return outcome


def as_capacity_refusal(outcome: Outcome, type: str, reason: str) -> Outcome:
    """The outcome of a run whose instance EC2 accepted to start and then did not; any other is returned as it is.

    reason: EC2's, for the state of the host.
    """
    if not reason.startswith(refusals.GIVEN_UP):
        return outcome
    error = refusals.no_capacity(type, f"the host is off again ({reason})")
    return Outcome(NO_CAPACITY, error.message, error.code, error.hint)


def outcome_from_error(error: BaseException, started: bool) -> Outcome:
    """The outcome for an error of this client; the run failed only if its instance was started."""
    if not isinstance(error, PneumoError):
        return Outcome("failed", unexpected(error), Exit.TRAINING_FAILED if started else Exit.FAILED)
    if error.details.get("spot"):  # no instance was launched
        return Outcome(NO_SPOT, error.message, error.code, error.hint)
    if error.details.get("unavailable"):
        return Outcome(NO_CAPACITY, error.message, error.code, error.hint)
    return Outcome("failed", error.message) if started else Outcome("failed", error.message, error.code, error.hint)


def switched_off_at(
    transition: str,
    stopped_here: bool,
    report: Mapping[str, Any] | None,
    launched: datetime | None,
    now: datetime,
    deadline: datetime,
) -> datetime:
    """When an instance that is off now went off: by EC2's transition reason, else by the host's end report.

    EC2 gives no time if a host powered itself off. Without any information, the time is the deadline, when the account
    stops it. stopped_here: it still ran when this client stopped it.
    """
    by_ec2 = transition_time(transition)
    if by_ec2 and by_ec2 >= (launched or by_ec2):
        return by_ec2
    if stopped_here:
        return now
    latest = max(min(now, deadline), launched or deadline)
    with suppress(KeyError, TypeError, ValueError, OverflowError, OSError):
        by_host = datetime.fromtimestamp(float((report or {})["at"]), UTC) + POWER_OFF_TIME
        if launched and by_host > launched:  # else the host's clock is wrong
            return min(by_host, latest)
    return latest


def transition_time(transition: str) -> datetime | None:
    """The time in EC2's `User initiated (2026-11-23 06:10:00 GMT)`."""
    match = re.search(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)", transition)
    return datetime.fromisoformat(match[1]).replace(tzinfo=UTC) if match else None
