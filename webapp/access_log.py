"""The access log: a line to stderr for each request, without queries, ids of predictions or names of files.

gunicorn's log of errors quotes addresses; they are left out there, too.
"""

import logging
import re

from webapp import requests
from webapp.metrics import METHODS

log = logging.getLogger(__name__)
# Asked every few seconds by Prometheus, the web page and pneumoctl; logged only if they fail.
_MONITORING = ("/livez", "/readyz", "/metrics", "/v1/changes")


def configure() -> None:
    """Have the lines written, whatever the server's own logging is."""
    log.setLevel(logging.INFO)
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)


# In a line of a request that is not valid, nobody knows where the address ends.
_ADDRESS = re.compile(r"(Invalid HTTP request line: ).*|(?<=\s)(?:[A-Za-z][\w+.-]*:/)?/\S*", re.DOTALL)


class WithoutAddresses(logging.Filter):
    """Leaves addresses out of messages: they may have a name that somebody searches for."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _ADDRESS.sub(r"\1(address left out)", record.getMessage()), None
        return True


def protect_server_log() -> None:
    """Leave queries out of what gunicorn logs about requests that fail."""
    server = logging.getLogger("gunicorn.error")
    if not any(isinstance(each, WithoutAddresses) for each in server.filters):
        server.addFilter(WithoutAddresses())


def answered(rule: object, method: str, status: int, seconds: float) -> None:
    """Log an answered request: its id, which nginx and the web page passed on, its route's pattern, status and time."""
    route = str(rule or "unknown")
    if route in _MONITORING and status < 400:
        return
    known = method if method in METHODS else "other"
    log.info("request %s %s %s %d s=%.3f", requests.request_id(), known, route, status, seconds)
