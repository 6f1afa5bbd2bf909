"""The Prometheus metrics of both applications: requests by route, method and status, and their duration."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from webapp import worker_files

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# All other methods, which a client can invent, share one series, because the workers' files have a fixed size.
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_TIMES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, eq=False)  # a registry uses it as a key
class _Gauges(Collector):
    """Gauges by name and meaning, each with the function that reads it; and those that never change, by labels."""

    entries: list[tuple[str, str, Callable[[], float | None]]] = field(default_factory=list)
    tables: list[tuple[str, str, Sequence[str], Mapping[Sequence[str], float]]] = field(default_factory=list)

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client's Collector."""
        for name, meaning, read in self.entries:
            if (value := read()) is not None:
                yield GaugeMetricFamily(name, meaning, value)
        for name, meaning, labels, values in self.tables:
            family = GaugeMetricFamily(name, meaning, labels=labels)
            for row, value in values.items():
                family.add_metric(row, value)
            yield family


class Requests:
    """The metrics of one application: the requests that it answered, and counters and histograms of its own.

    With several gunicorn workers, PROMETHEUS_MULTIPROC_DIR must name one writable directory for all of them. Each
    worker then reports the sum over all workers. A gauge is read when it is reported and is in no file, so nothing has
    to be removed when a worker ends.
    """

    def __init__(self) -> None:
        worker_files.reserve()
        self._registry = CollectorRegistry()
        self._gauges = _Gauges()
        self._registry.register(self._gauges)
        self._requests = self.histogram("pneumo_request_seconds", "Time to answer", "route", "method", "status")

    def histogram(self, name: str, meaning: str, *labels: str) -> Histogram:
        """Add a histogram of durations in seconds."""
        return Histogram(name, meaning, labels, registry=self._registry, buckets=_TIMES)

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        """Add a counter."""
        return Counter(name, meaning, labels, registry=self._registry)

    def gauge(self, name: str, meaning: str, read: Callable[[], float | None]) -> None:
        """Add a gauge of something that all workers share. `read`: its value now; None if it is not known."""
        self._gauges.entries.append((name, meaning, read))

    def constants(self, name: str, meaning: str, labels: Sequence[str], values: Mapping[Sequence[str], float]) -> None:
        """Add a gauge that all workers share and that never changes; `values`: by the values of the labels."""
        self._gauges.tables.append((name, meaning, labels, values))

    def answered(self, rule: object, method: str, status: int, seconds: float) -> None:
        """Count an answered request. `route`: the pattern of the route, not the address; None if no route matched."""
        method_label = method if method in METHODS else "other"
        self._requests.labels(str(rule or "unknown"), method_label, str(status)).observe(seconds)

    def text(self) -> bytes:
        """The metrics in Prometheus' text format: of this worker, or of all workers if they share a directory."""
        if worker_files.DIRECTORY not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        worker_files.WorkerFiles(registry)
        registry.register(self._gauges)
        return generate_latest(registry)
