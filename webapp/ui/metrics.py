"""What the web page counts for Prometheus, without names or ids."""

from webapp.metrics import Requests


class Metrics:
    """The page's requests, and what its API did not answer as it should; `requests` holds them all."""

    def __init__(self) -> None:
        self.requests = Requests()
        self._failed = self.requests.counter("pneumo_api_errors", "Answers that the API did not give, by kind", "kind")
        for kind in ("unreachable", "timeout", "broken", "status"):
            self._failed.labels(kind)  # so that each rises from zero

    def failed(self, kind: str) -> None:
        """The API could not be reached at an address, gave no answer in time, broke off, or answered that it failed."""
        self._failed.labels(kind).inc()
