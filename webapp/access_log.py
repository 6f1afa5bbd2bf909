"""The access log: a line to stderr for each request, without queries, ids of predictions or names of files."""

import logging

from webapp import requests
from webapp.metrics import METHODS

log = logging.getLogger(__name__)
# Asked every few seconds by Prometheus, the web page and pneumoctl; logged only if they fail.
_MONITORING = ("/livez", "/readyz", "/metrics")


def configure() -> None:
    """Have the lines written, whatever the server's own logging is."""
    log.setLevel(logging.INFO)
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)


def answered(rule: object, method: str, status: int, seconds: float) -> None:
    """Log an answered request: its id, which nginx and the web page passed on, its route's pattern, status and time."""
    route = str(rule or "unknown")
    if route in _MONITORING and status < 400:
        return
    known = method if method in METHODS else "other"
    log.info("request %s %s %s %d s=%.3f", requests.request_id(), known, route, status, seconds)
