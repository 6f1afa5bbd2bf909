"""How long results are kept: the moment at which a result is no longer shown, whether or not it is erased already."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from model.serving.prediction import Prediction
from webapp.api.storage import listing

_DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True)
class Retention:
    """Results are kept for `days` days after they were made; 0: for ever. `now`: seconds since 1970."""

    days: int = 0
    now: Callable[[], float] = time.time

    @property
    def cutoff(self) -> int | None:
        """Results that were made at or before this moment have expired (microseconds since 1970); None: none has."""
        return max(0, int(self.now() * 1_000_000) - self.days * _DAY) if self.days else None

    def expired(self, prediction: Prediction) -> bool:
        """Whether a result must not be shown any more."""
        cutoff = self.cutoff
        return cutoff is not None and listing.created(prediction) <= cutoff
