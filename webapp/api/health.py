"""Routes without authentication: liveness, readiness, metrics."""

import logging
import time
from collections.abc import Callable
from functools import partial
from threading import Lock

from flask import Blueprint, Response, jsonify

from webapp.api.services import Services
from webapp.api.storage.errors import StoreUnavailable
from webapp.api.storage.queued_films import QueueState
from webapp.api.storage.retention import Clock
from webapp.api.storage.usage import Usage
from webapp.documents import Check, Checks, Readiness
from webapp.metrics import CONTENT_TYPE

log = logging.getLogger(__name__)
_STORE_SECONDS = 2.0  # how long a result is reused, so that frequent polling costs nothing
_MODEL_SECONDS = 60.0
_FAULT_SECONDS = 2.0


class CachedCheck:
    """A check whose result is reused for some seconds; one thread runs it while the others wait for the result."""

    def __init__(
        self, seconds: float, run: Callable[[], None], report: Callable[[bool], None] = lambda ok: None
    ) -> None:
        """`run` raises if something is wrong; `report` is called with the outcome of each run."""
        self._seconds = seconds
        self._run = run
        self._report = report
        self._lock = Lock()
        self._valid_until = 0.0
        self._fault: str | None = None

    def fault(self) -> str | None:
        """A description of the fault; None if there is none."""
        with self._lock:
            if time.monotonic() >= self._valid_until:
                self._fault = self._run_once()
                self._report(self._fault is None)
                lifetime = self._seconds if self._fault is None else min(self._seconds, _FAULT_SECONDS)
                self._valid_until = time.monotonic() + lifetime
            return self._fault

    def _run_once(self) -> str | None:
        try:
            self._run()
        except Exception as error:  # any error means that the API is not ready
            log.warning("not ready: %s: %s", type(error).__name__, error)
            foreseen = isinstance(error, StoreUnavailable | OutOfBand)
            return str(error) if foreseen else f"unexpected error ({type(error).__name__}: {error})"
        return None


class OutOfBand(Exception):
    """The known picture does not score as it did at export."""


def check_known_picture(services: Services) -> None:
    """Raises OutOfBand if the score of the known picture has changed."""
    measured, expected, tolerance = services.scorer.self_check()
    if not abs(measured - expected) <= tolerance:  # written so that NaN fails
        raise OutOfBand(f"the known picture scores {measured:.4f}, not {expected:.4f} within {tolerance}")


def check_store(services: Services) -> None:
    """Raises StoreUnavailable unless uploads can be stored; notes its use, the clock and what waits."""
    metrics = services.metrics
    metrics.store_usage = metrics.clock = metrics.queue = None
    metrics.store_usage, metrics.clock = services.store.usage(), services.store.clock()
    services.store.probe()
    try:
        metrics.queue = services.store.queue.state()
    except StoreUnavailable as error:  # a Redis of an earlier version gives no right to it: uploads are stored anyway
        log.warning("the queue of received films cannot be read: %s", error)


def stays_full(services: Services) -> bool:
    """Whether the store is full and nothing in it expires, which would make room."""
    usage = services.metrics.store_usage
    return usage is not None and usage.full and not services.settings.store.retention_days


def _warning(of: Usage | Clock | QueueState | None) -> str | None:
    return None if of is None else of.warning


def _of_queue(services: Services) -> str | None:
    metrics = services.metrics
    if metrics.queue is None and metrics.store_usage is not None:
        return "it is not known whether received films wait: their queue cannot be read"
    return _warning(metrics.queue)


def blueprint(services: Services) -> Blueprint:
    """The routes for the services of one app."""
    health = Blueprint("health", __name__)
    count = services.metrics.checked
    store = CachedCheck(_STORE_SECONDS, lambda: check_store(services), partial(count, "store"))
    known_picture = CachedCheck(_MODEL_SECONDS, lambda: check_known_picture(services), partial(count, "known_picture"))

    @health.get("/livez")
    def livez() -> Response:
        return jsonify(status="alive")

    @health.get("/readyz")
    def readyz() -> tuple[Response, int]:
        checks: Checks = {
            "store": {
                **_row(store.fault()),
                "lasting": stays_full(services),
                "warning": _warning(services.metrics.store_usage),
            },
            "clock": {"ok": True, "fault": None, "warning": _warning(services.metrics.clock)},
            "received": {"ok": True, "fault": None, "warning": _of_queue(services)},
            "known_picture": _row(known_picture.fault()),
            "model": {
                "ok": True,
                "fault": None,
                "version": services.scorer.version,
                "outside_use": services.settings.outside_use,
            },
        }
        ready = checks["store"]["ok"] and checks["known_picture"]["ok"]
        document: Readiness = {"status": "ready" if ready else "not ready", "checks": checks}
        return jsonify(document), 200 if ready else 503

    @health.get("/metrics")
    def metrics() -> Response:
        for check in (store, known_picture):  # so that Prometheus sees them where nobody polls /readyz
            check.fault()
        return Response(services.metrics.requests.text(), content_type=CONTENT_TYPE)

    return health


def _row(fault: str | None) -> Check:
    return {"ok": fault is None, "fault": fault}
