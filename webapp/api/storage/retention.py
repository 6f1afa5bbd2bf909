"""How long results are kept: the moment at which a result is no longer shown, whether or not it is erased already.

Results are hidden by this host's clock, which hides nothing for good. What is erased must have expired by two clocks.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from model.serving.prediction import Prediction
from webapp.api.storage import listing
from webapp.api.storage.errors import ClockWrong

_SECOND = 1_000_000  # microseconds
_DAY = 86400 * _SECOND
_STEP = 60.0  # seconds that the clock may move against the time that has passed: it is adjusted now and then
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while the machine sleeps


@dataclass(frozen=True)
class Clock:
    """What is known of this host's clock, in seconds.

    `ahead`: how far it is ahead of another one (negative: behind). `moved`: by how much it was set since this process
    started.
    """

    ahead: float
    moved: float

    @property
    def error(self) -> float:
        """The larger of the two."""
        return max(self.ahead, self.moved, key=abs)

    @property
    def warning(self) -> str | None:
        """Words for a clock that hides results or keeps them too long; None if nothing is known to be wrong."""
        if abs(self.ahead) > _STEP:
            differs = "ahead of that of Redis, so results may be hidden too early"
            if self.ahead < 0:
                differs = "behind that of Redis, so results may be shown for too long"
            return f"this host's clock is {_duration(abs(self.ahead))} {differs}"
        return self.was_set

    @property
    def was_set(self) -> str | None:
        """Words for a clock that was set since this process started; None if it was not."""
        if abs(self.moved) <= _STEP:
            return None
        message = f"this host's clock was set by {self.moved:+.0f} s since this process started"
        return f"{message}, so nothing that has expired is erased until it is restarted"


def _duration(seconds: float) -> str:
    days = round(seconds / 86400)
    return f"{days} days" if days > 1 else f"{seconds:.0f} s"


@dataclass(frozen=True)
class Retention:
    """Results are kept for `days` days after they were made; 0: for ever.

    `now`: seconds since 1970. `steady`: seconds since any moment, by a clock that nobody sets.
    """

    days: int = 0
    now: Callable[[], float] = time.time
    steady: Callable[[], float] = lambda: time.clock_gettime(_STEADY)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_started", self.now() - self.steady())

    @property
    def cutoff(self) -> int | None:
        """Results that were made at or before this moment have expired (microseconds since 1970); None: none has."""
        return self._cutoff(self.now()) if self.days else None

    def _cutoff(self, now: float) -> int:
        return max(0, int(now * _SECOND) - self.days * _DAY)

    def expired(self, prediction: Prediction) -> bool:
        """Whether a result must not be shown any more."""
        cutoff = self.cutoff
        return cutoff is not None and listing.created(prediction) <= cutoff

    def erasable(self, other: float) -> int | None:
        """Results that were made at or before this moment may be erased (microseconds since 1970); None: none may.

        `other`: the time by another clock, in seconds since 1970; results must have expired by both. Raises ClockWrong
        if the clock of this host was set since this process started.
        """
        if not self.days:
            return None
        if was_set := self.clock(other).was_set:
            raise ClockWrong(was_set)
        return self._cutoff(min(self.now(), other))

    def clock(self, other: float) -> Clock:
        """What is known of this host's clock. `other`: the time by another one, in seconds since 1970."""
        now = self.now()
        return Clock(now - other, now - self.steady() - getattr(self, "_started"))  # noqa: B009

    def require_fresh(self, prediction: Prediction, other: float) -> None:
        """Raise ClockWrong for a new result that has already expired, by this host's clock or by the `other` one."""
        if self.days and listing.created(prediction) <= self._cutoff(max(self.now(), other)):
            raise ClockWrong("the clocks of this host and of Redis differ by more than results are kept")
