"""Erase expired results in the background. Until then no read shows them: see webapp.api.storage.retention."""

import logging
import threading
import time

from webapp.api.services import Services

log = logging.getLogger(__name__)
_BATCH = 100  # results
# Between two looks for expired results, and before the first: the check of a release, which runs this app for some
# seconds before it may serve, erases nothing.
_POLL_SECONDS = 10.0


def start(services: Services) -> None:
    """Erase what expires as long as this process runs, if results expire at all."""
    if services.settings.store.retention_days:
        threading.Thread(target=_run, args=(services,), name="expiry", daemon=True).start()


def _run(services: Services) -> None:
    while True:
        time.sleep(_POLL_SECONDS)
        try:
            while number := services.store.eraser.erase_expired(_BATCH):
                services.metrics.erased("expired", number)
        except Exception as error:  # nothing may end this thread: it would go unnoticed
            log.warning("expired results were not erased: %s: %s", type(error).__name__, error)
