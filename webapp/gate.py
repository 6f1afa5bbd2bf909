"""Bound what one worker does at the same time, so that a rush is told to wait instead of filling the memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

# A health gate's picture goes all the way, but it is nobody's film: kept for a moment, listed nowhere.
PROBE_HEADER = "X-Pneumo-Probe"


class Busy(Exception):
    """No place is free; try again after `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("no place is free")
        self.retry_after = retry_after


class Bound:
    """At most `places` hold it at the same time. Safe to share between threads, which is what it is for."""

    def __init__(self, places: int, retry_after: int) -> None:
        self._places = BoundedSemaphore(places)
        self._retry_after = retry_after

    @contextmanager
    def held(self, patience: float = 0.0) -> Iterator[None]:
        """A place, after at most `patience` seconds; raises Busy."""
        if not self._places.acquire(timeout=patience):
            raise Busy(self._retry_after)
        try:
            yield
        finally:
            self._places.release()
