"""Stacks with results in a real store, and what an import of all of them counts."""

from collections.abc import Callable

from tests.pneumoctl.results.conftest import StackWithStore
from tests.webapp.api.records import put, record

StackOf = Callable[..., StackWithStore]
REVIEW = {"prediction": f"{1:032x}", "label": "unsure", "comment": "Müller", "created": "2026-01-02T00:00:00.000000Z"}
_NOTHING = {
    "added": 0,
    "present": 0,
    "kept": 0,
    "repaired": 0,
    "reviews": 0,
    "withdrawals": 0,
    "damaged": 0,
    "expired": 0,
    "trail": 0,
}
ALL = {**_NOTHING, "added": 2, "reviews": 1, "trail": 1, "brought_back": []}  # with the entry of the export itself
NONE = {**_NOTHING, "present": 2, "brought_back": []}


def filled(stack_of: StackOf) -> StackWithStore:
    """A stack with two results, one of them with a picture and a review."""
    made = stack_of()
    put(made.store, record(1), record(2, None))
    made.store.reviews.add(record(1).id, REVIEW)
    return made
