"""Whether the API lives, whether it can do its work, and its metrics."""

import logging
import time
from collections.abc import Callable
from threading import Lock

from flask import Blueprint, Response, jsonify

from webapp.api.services import Services
from webapp.metrics import CONTENT_TYPE

log = logging.getLogger(__name__)
_STORE_SECONDS = 2.0  # an answer is used again for so long, so that polling costs nothing
_MODEL_SECONDS = 60.0


class Check:
    """A check whose answer is kept for some seconds; one thread at a time runs it, the others wait for it."""

    def __init__(self, seconds: float, run: Callable[[], None], tell: Callable[[bool], None] = lambda ok: None) -> None:
        """`tell` is told how each run ended."""
        self._seconds = seconds
        self._run = run
        self._tell = tell
        self._lock = Lock()
        self._until = 0.0
        self._fault: str | None = None

    def fault(self) -> str | None:
        """What is wrong, in words; None when all is well."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._fault = self._tried()
                self._tell(self._fault is None)
                self._until = time.monotonic() + (self._seconds if self._fault is None else min(self._seconds, 2.0))
            return self._fault

    def _tried(self) -> str | None:
        try:
            self._run()
        except Exception as error:  # whatever it is, the API is not ready
            log.warning("not ready: %s: %s", type(error).__name__, error)
            return f"{type(error).__name__}: {error}"
        return None


class OutOfBand(Exception):
    """The known picture does not score as it did at export."""


def known_picture(made: Services) -> None:
    """Raises OutOfBand when the known picture's score has moved."""
    measured, expected, tolerance = made.scorer.self_check()
    if not abs(measured - expected) <= tolerance:  # written so that NaN fails
        raise OutOfBand(f"the known picture scores {measured:.4f}, not {expected:.4f} within {tolerance}")


def blueprint(made: Services) -> Blueprint:
    """The open routes, for the services of one app."""
    health = Blueprint("health", __name__)
    told = made.metrics.checked
    checks = {
        "store": Check(_STORE_SECONDS, made.store.probe, lambda ok: told("store", ok)),
        "known_picture": Check(_MODEL_SECONDS, lambda: known_picture(made), lambda ok: told("known_picture", ok)),
    }

    @health.get("/livez")
    def livez() -> Response:
        return jsonify(status="alive")

    @health.get("/readyz")
    def readyz() -> tuple[Response, int]:
        faults = {name: check.fault() for name, check in checks.items()}
        ready = not any(faults.values())
        rows = {name: {"ok": fault is None, "fault": fault} for name, fault in faults.items()}
        rows["model"] = {"ok": True, "fault": None, "version": made.scorer.version}
        return jsonify(status="ready" if ready else "not ready", checks=rows), 200 if ready else 503

    @health.get("/metrics")
    def metrics() -> Response:
        for check in checks.values():  # so that Prometheus watches them where nobody else asks
            check.fault()
        return Response(made.metrics.requests.text(), content_type=CONTENT_TYPE)

    return health
