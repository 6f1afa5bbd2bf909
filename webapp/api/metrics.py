"""The API's metrics for Prometheus, without file names or ids."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from webapp.api.storage.retention import Clock
from webapp.api.storage.usage import Usage
from webapp.metrics import Requests


class Metrics:
    """Counters and histograms of one API; `requests` holds them all."""

    def __init__(self) -> None:
        self.requests = Requests()
        self._stages = self.requests.histogram("pneumo_stage_seconds", "Time of a part of a prediction", "stage")
        labels = ("outcome", "model")
        self._outcomes = self.requests.counter("pneumo_predictions", "Files by outcome", *labels)
        self._erased = self.requests.counter("pneumo_erased", "Results erased, by request or expired", "reason")
        self.store_usage: Usage | None = None  # at the last readiness check; None: it could not be read
        self.requests.gauge("pneumo_store_used_bytes", "Memory that the store uses", self._store_used)
        self.requests.gauge("pneumo_store_max_bytes", "Memory limit of the store; 0: none", self._store_max)
        self.clock: Clock | None = None  # likewise; None also if results do not expire
        self.requests.gauge(
            "pneumo_clock_error_seconds",
            "How far the clock is ahead of that of Redis, or was set since the start, if results expire",
            lambda: None if self.clock is None else self.clock.error,
        )
        self._checks = self.requests.counter("pneumo_checks", "Readiness checks that were run", "check", "outcome")

    def _store_used(self) -> int | None:
        return None if self.store_usage is None else self.store_usage.used

    def _store_max(self) -> int | None:
        return None if self.store_usage is None else self.store_usage.maximum

    def file_finished(self, outcome: str, model: str) -> None:
        """Count a file by its outcome: "pneumonia", "no pneumonia", "refused" or "error"."""
        self._outcomes.labels(outcome, model).inc()

    def checked(self, check: str, ok: bool) -> None:
        """Count a readiness check by its outcome."""
        for outcome, happened in (("ok", ok), ("fault", not ok)):  # both exist, so that each can rise from zero
            self._checks.labels(check, outcome).inc(int(happened))

    def erased(self, reason: str, number: int) -> None:
        """Count erased results by their reason: "request" or "expired"."""
        self._erased.labels(reason).inc(number)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a part of the work: "wait", "score", "store", "heatmap"."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._stages.labels(name).observe(time.perf_counter() - start)
