"""The keys of Redis under which the parts of a result, and the trail of clinical acts, are stored."""

_PREFIX = "pneumo:1:"
ERASED = f"{_PREFIX}erased"  # the ids of results that were erased
TRAIL = "pneumo:trail"  # apart from the others: the API's user may add to it, and neither change nor remove anything

STUDY_KEY = f"{_PREFIX}study-key"  # the name of the MAC key that pseudonyms are made with


def key_of(kind: str, identifier: str) -> str:
    """The key of a part of a result."""
    return f"{_PREFIX}{kind}:{identifier}"


def index_of(order: str, list_filter: str) -> str:
    """The key of an index."""
    return key_of("index", f"{order}:{list_filter.replace(' ', '-')}")


def trail_of(chain: str) -> str:
    """The key of an imported trail; of the store's own one if `chain` is empty."""
    return f"{TRAIL}:{chain}" if chain else TRAIL
