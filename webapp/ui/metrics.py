"""Prometheus metrics of the web page. They contain no file names and no ids."""

from webapp.metrics import Requests


class Metrics:
    """The page's requests, and its failed requests to the API. `requests` owns the registry."""

    def __init__(self) -> None:
        self.requests = Requests()
        self._failed = self.requests.counter("pneumo_api_errors", "Failed requests to the API, by kind", "kind")
        for kind in ("unreachable", "timeout", "broken", "status"):
            self._failed.labels(kind)  # so that each can rise from zero

    def failed(self, kind: str) -> None:
        """Count a failure: "unreachable", "timeout", "broken" (the connection) or "status" (an error status)."""
        self._failed.labels(kind).inc()
