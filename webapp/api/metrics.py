"""The API's metrics for Prometheus, without file names or ids."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import get_args

from model.serving.prediction import Prediction, RefusalCode
from webapp.api.storage.queued_films import QueueState
from webapp.api.storage.retention import Clock
from webapp.api.storage.usage import Usage
from webapp.documents import Label
from webapp.metrics import Requests

BINS = tuple(f"{tenth / 10:.1f}" for tenth in range(10))  # of probabilities: where each begins


class Metrics:
    """Counters and histograms of one API; `requests` holds them all."""

    def __init__(self) -> None:
        self.requests = Requests()
        self._stages = self.requests.histogram("pneumo_stage_seconds", "Time of a part of a prediction", "stage")
        labels = ("outcome", "model")
        self._outcomes = self.requests.counter("pneumo_predictions", "Files by outcome", *labels)
        self._scores = self.requests.counter("pneumo_scores", "Films by probability, in tenths", "bin", "model")
        self._refusals = self.requests.counter("pneumo_refusals", "Refused files by reason", "code", "model")
        self._reviews = self.requests.counter(
            "pneumo_reviews", "Reviews by what they say of the model, later withdrawn ones too", "says", "model"
        )
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
        self.queue: QueueState | None = None  # likewise
        self.requests.gauge(
            "pneumo_received_waiting",
            "Received films that wait to be scored",
            lambda: self.queue and self.queue.waiting,
        )
        self.requests.gauge(
            "pneumo_received_oldest_seconds",
            "How long the oldest received film has waited",
            lambda: self.queue and (self.queue.oldest_s or 0),
        )
        self.requests.gauge(
            "pneumo_received_failed",
            "Received films without a result that nobody has tried again or removed",
            lambda: self.queue and self.queue.failed,
        )
        self._checks = self.requests.counter("pneumo_checks", "Readiness checks that were run", "check", "outcome")

    def _store_used(self) -> int | None:
        return None if self.store_usage is None else self.store_usage.used

    def _store_max(self) -> int | None:
        return None if self.store_usage is None else self.store_usage.maximum

    def file_finished(self, outcome: str, model: str) -> None:
        """Count a file by its outcome: "pneumonia", "no pneumonia", "refused" or "error"."""
        self._outcomes.labels(outcome, model).inc()

    def assessed(self, prediction: Prediction) -> None:
        """Count a file by its probability, or by the reason of its refusal."""
        version, probability, refusal = prediction["model"]["version"], prediction["probability"], prediction["refusal"]
        if refusal is not None:
            self._refusals.labels(refusal["code"], version).inc()
        elif probability is not None:
            self._scores.labels(BINS[min(int(probability * 10), 9)], version).inc()

    def reviewed(self, prediction: Prediction, label: Label) -> None:
        """Count a review of a film that has a finding: whether it "agrees", "contradicts" or is "unsure".

        It stays counted if it is withdrawn: a counter of Prometheus never falls.
        """
        if (finding := prediction["finding"]) is not None:
            says = "unsure" if label == "unsure" else "agrees" if label == finding else "contradicts"
            self._reviews.labels(says, prediction["model"]["version"]).inc()

    def begin(self, version: str) -> None:
        """Begin the counts of the model that this API serves at 0.

        Prometheus counts by how much a series rises: a series that begins at 1 has not risen.
        """
        for name in BINS:
            self._scores.labels(name, version)
        for code in get_args(RefusalCode):
            self._refusals.labels(code, version)
        for says in ("agrees", "contradicts", "unsure"):
            self._reviews.labels(says, version)

    def expect(self, version: str, bins: Sequence[int]) -> None:
        """State the share of the validation films in each tenth, with which what comes in is compared.

        Half a film is added to each, so that none is 0: see the rules of Prometheus.
        """
        shares = {(name, version): (count + 0.5) / (sum(bins) + 5) for name, count in zip(BINS, bins, strict=True)}
        meaning = "Share of the validation films by probability, in tenths"
        self.requests.constants("pneumo_validation_scores_ratio", meaning, ("bin", "model"), shares)

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
