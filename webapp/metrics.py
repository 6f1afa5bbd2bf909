"""What Prometheus reads of either application: requests by route, method and status, and how long they took."""

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from webapp import worker_files

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Of any other method, which a stranger may make up, there is one series: the workers' files have a fixed size.
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_TIMES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Requests:
    """The requests that one app answered, and whatever else it counts.

    With several gunicorn workers PROMETHEUS_MULTIPROC_DIR must name a writable directory, the same for all:
    then any worker answers for all of them. There are no gauges, so nothing needs cleaning when one dies.
    """

    def __init__(self) -> None:
        worker_files.reserve()
        self._registry = CollectorRegistry()
        self._requests = self.histogram("pneumo_request_seconds", "Time to answer", "route", "method", "status")

    def histogram(self, name: str, meaning: str, *labels: str) -> Histogram:
        """Another histogram of seconds."""
        return Histogram(name, meaning, labels, registry=self._registry, buckets=_TIMES)

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        """Another counter."""
        return Counter(name, meaning, labels, registry=self._registry)

    def answered(self, rule: object, method: str, status: int, seconds: float) -> None:
        """A request to a route (its pattern, never its address; None: there is no such route) was answered."""
        known = method if method in _METHODS else "other"
        self._requests.labels(str(rule or "unknown"), known, str(status)).observe(seconds)

    def text(self) -> bytes:
        """The exposition of this worker, or of all when they share a directory."""
        if worker_files.DIRECTORY not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        worker_files.WorkerFiles(registry)
        return generate_latest(registry)
