"""Erase expired results in the background. Until then no read shows them: see webapp.api.storage.retention."""

import logging
import threading
import time

from webapp.api.services import Services

log = logging.getLogger(__name__)
_BATCH = 100  # results
_POLL_SECONDS = 10.0  # between two looks for expired results, and before the first
_SCAN_SECONDS = 86400.0  # between two looks at every record: an index entry may have been lost
_RETRY_SECONDS = 3600.0  # before such a look is begun again after it failed


def start(services: Services) -> threading.Event:
    """Erase what expires as long as this process runs, or until the event is set, if results expire at all."""
    ended = threading.Event()
    if services.settings.store.retention_days:
        threading.Thread(target=_run, args=(services, ended), name="expiry", daemon=True).start()
    return ended


def _run(services: Services, ended: threading.Event) -> None:
    next_scan, logged = 0.0, ""
    while not ended.wait(_POLL_SECONDS):
        try:
            while not ended.is_set() and (number := services.store.eraser.erase_expired(_BATCH)):
                services.metrics.erased("expired", number)
            if time.monotonic() >= next_scan:
                next_scan = time.monotonic() + _RETRY_SECONDS
                services.metrics.erased("expired", services.store.eraser.erase_unlisted())
                next_scan = time.monotonic() + _SCAN_SECONDS
            logged = ""
        except Exception as error:  # nothing may end this thread: it would go unnoticed
            reason = f"{type(error).__name__}: {error}"
            if reason != logged:  # a clock that is wrong stays wrong for long
                log.warning("expired results were not erased: %s", reason)
            logged = reason
