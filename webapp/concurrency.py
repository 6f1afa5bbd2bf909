"""Limit concurrent work in one worker process, so that a burst of requests is rejected before it fills the memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore


class Busy(Exception):
    """The limit is reached; retry after `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("the concurrency limit is reached")
        self.retry_after = retry_after


class ConcurrencyLimit:
    """At most `limit` slots are held at the same time. Safe to share between threads."""

    def __init__(self, limit: int, retry_after: int) -> None:
        self._slots = BoundedSemaphore(limit)
        self._retry_after = retry_after

    @contextmanager
    def slot(self, timeout: float = 0.0) -> Iterator[None]:
        """Hold a slot within the block; raises Busy if none becomes free within `timeout` seconds."""
        if not self._slots.acquire(timeout=timeout):
            raise Busy(self._retry_after)
        try:
            yield
        finally:
            self._slots.release()
