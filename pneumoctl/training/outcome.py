"""How a run on the GPU ended: what that is called, which exit code it has, and which guard ended the bill. Pure."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu.attribution import _TAKES, _TIMER, _UNIT, _last

TAKEN, NO_SPOT = "spot", "no spot"  # why a run ends that had a spot instance, or wanted one


GOING_OFF = timedelta(seconds=60)  # from the last word to the instance off; rather too much than too little


_CODES = {"done": Exit.DONE, "deadline": Exit.CAP_REACHED, TAKEN: Exit.CAP_REACHED}


_REASONS = {"deadline": "deadline", "stalled": "stalled", "no GPU seen": "no gpu"}  # guard.py's words


@dataclass(frozen=True)
class Ended:
    """`why` in one word or two, a message for a person, and the exit code while the GPU is off."""

    why: str
    message: str = ""
    code: int = Exit.TRAINING_FAILED


def told(end: Mapping[str, Any] | None, late: bool, console: str = "", code: int | None = None) -> Ended:
    """By the host's last words (end.json), else by its console; `late`: its deadline has passed.

    `code`: of the unit's main process, where we heard it.
    """
    if end is None:
        reason = _last(_TIMER, console)
        unit = _last(_UNIT, console) or ("" if code is None else f"exit {code}")
        why = _REASONS.get(reason, "deadline" if late else "failed" if unit else "lost")
        message = f"the host's guard: {reason}" if reason else "the host's last words did not reach the bucket"
        message += f"; its unit ended ({unit})" if unit else ""
        return Ended(why, message, _CODES.get(why, Exit.TRAINING_FAILED))
    why, message = str(end.get("why")), str(end.get("message") or "")
    if why in ("stopped", "killed") and late:
        why = "deadline"
    if why == "done" and not delivered(end):
        lost = end["missed"]
        return Ended("not sent", f"trained, but not all of it is in the bucket: {lost[0]}", Exit.TRAINING_FAILED)
    return Ended(why, message, _CODES.get(why, Exit.TRAINING_FAILED))


def delivered(end: Mapping[str, Any] | None) -> bool:
    """Whether a run, by its host's last words, is done and all that it made is in the bucket."""
    return end is not None and end.get("why") == "done" and not end.get("missed")


def taken(ended: Ended, reason: str) -> Ended:
    """What failed because AWS took the host back is told so; `reason`: EC2's for the state of the host."""
    if ended.why in ("failed", "killed", "lost", "stopped") and reason.startswith(_TAKES):
        return Ended(TAKEN, f"AWS took the spot instance back: {ended.message}", _CODES[TAKEN])
    return ended


def broken(error: BaseException, started: bool) -> Ended:
    """An error on our side; once the instance was started it is the run's."""
    if not isinstance(error, PneumoError):
        return Ended("failed", f"{type(error).__name__}: {error}", Exit.TRAINING_FAILED if started else Exit.FAILED)
    if error.details.get("spot"):  # nothing was made
        return Ended(NO_SPOT, f"{error.message}; {error.hint}", error.code)
    return Ended("failed", error.message, Exit.TRAINING_FAILED if started else error.code)


def off_at(
    transition: str,
    asked: bool,
    end: Mapping[str, Any] | None,
    launched: datetime | None,
    now: datetime,
    deadline: datetime,
) -> datetime:
    """When an instance that is off now went off: by EC2's word, else by the host's last one.

    EC2 gives no time where a host powered itself off. One of which nothing is known ran no longer than to the deadline,
    when the account stops it. asked: it still ran when we stopped it.
    """
    said = moment(transition)
    if said and said >= (launched or said):
        return said
    if asked:
        return now
    latest = max(min(now, deadline), launched or deadline)
    with suppress(KeyError, TypeError, ValueError, OverflowError, OSError):
        told = datetime.fromtimestamp(float((end or {})["at"]), UTC) + GOING_OFF
        if launched and told > launched:  # else its clock is wrong
            return min(told, latest)
    return latest


def moment(transition: str) -> datetime | None:
    """The time in EC2's `User initiated (2026-11-23 06:10:00 GMT)`."""
    found = re.search(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)", transition)
    return datetime.fromisoformat(found[1]).replace(tzinfo=UTC) if found else None
