"""What Prometheus reads: counts and times, without file names or ids."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_TIMES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counters and histograms of one app.

    With several gunicorn workers PROMETHEUS_MULTIPROC_DIR must name a writable directory, the same for all:
    then any worker answers for all of them. There are no gauges, so nothing needs cleaning when one dies.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        shared = {"registry": self._registry, "buckets": _TIMES}
        labels = ("route", "method", "status")
        self._requests = Histogram("pneumo_request_seconds", "Time to answer", labels, **shared)
        self._stages = Histogram("pneumo_stage_seconds", "Time of a part of a prediction", ("stage",), **shared)
        labels = ("outcome", "model")
        self._outcomes = Counter("pneumo_predictions", "Files by what came out", labels, registry=self._registry)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request to a route (its pattern, never its address) was answered."""
        self._requests.labels(route, method, str(status)).observe(seconds)

    def came_out(self, outcome: str, model: str) -> None:
        """A file ended as "pneumonia", "no pneumonia", "refused" or "error"."""
        self._outcomes.labels(outcome, model).inc()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a part of the work: "wait", "score", "store", "heatmap"."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._stages.labels(name).observe(time.perf_counter() - start)

    def text(self) -> bytes:
        """The exposition of this worker, or of all when they share a directory."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        return generate_latest(registry)
