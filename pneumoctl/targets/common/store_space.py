"""A store that is nearly full, from the readiness document of the API, and what to do before it is full."""

from collections.abc import Mapping
from typing import Any

REMEDY = (
    "pneumoctl results export PATH, and: pneumoctl results erase ID; "
    "or set retention_days or a larger redis_memory_mb, and: pneumoctl up"
)


def warning(document: Mapping[str, Any]) -> str:
    """What the API says of a store that is nearly full, or full; empty if it is not, or if that is not known."""
    checks = document.get("checks")
    store = checks.get("store") if isinstance(checks, Mapping) else None
    said = store.get("warning") if isinstance(store, Mapping) else None
    return said if isinstance(said, str) else ""
