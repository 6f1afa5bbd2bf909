"""What the readiness document of the API warns of: a full store, a wrong clock, films without a result; what to do."""

from collections.abc import Mapping
from typing import Any

STORE_REMEDY = (
    "pneumoctl results export PATH, and: pneumoctl results erase ID; "
    "or set retention_days or a larger redis_memory_mb, and: pneumoctl up"
)
RECEIVED_REMEDY = "look at /received on the web page, and: pneumoctl logs api"
CLOCK_REMEDY = "set the clock of that host and keep it synchronised; once it is right, restart the API: "


def of_store(document: Mapping[str, Any]) -> str:
    """What the API says of a store that is nearly full, or full; empty if it is not, or if that is not known."""
    return _warning(document, "store")


def of_clock(document: Mapping[str, Any]) -> str:
    """What the API says of a clock that hides results or keeps them too long; empty if that is not so or not known."""
    return _warning(document, "clock")


def of_received(document: Mapping[str, Any]) -> str:
    """What the API says of received films that failed or wait for long; empty if there are none, or if not known."""
    return _warning(document, "received")


def _warning(document: Mapping[str, Any], name: str) -> str:
    checks = document.get("checks")
    check = checks.get(name) if isinstance(checks, Mapping) else None
    said = check.get("warning") if isinstance(check, Mapping) else None
    return said if isinstance(said, str) else ""
