"""Erase expired results in the background. Until then no read shows them: see webapp.api.storage.retention."""

import logging
import threading
import time

from webapp.api.services import Services
from webapp.api.storage.errors import StoreUnavailable

log = logging.getLogger(__name__)
_BATCH = 100  # results
_POLL_SECONDS = 10.0  # between two looks for expired results


def start(services: Services) -> None:
    """Erase what expires as long as this process runs, if results expire at all."""
    if services.settings.store.retention_days:
        threading.Thread(target=_run, args=(services,), name="expiry", daemon=True).start()


def _run(services: Services) -> None:
    while True:
        try:
            while number := services.store.eraser.erase_expired(_BATCH):
                services.metrics.erased("expired", number)
        except StoreUnavailable as error:  # readiness tells, too
            log.warning("expired results were not erased: %s", error)
        time.sleep(_POLL_SECONDS)
