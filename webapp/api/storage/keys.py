"""The keys of Redis under which the parts of a result are stored."""

_PREFIX = "pneumo:1:"
ERASED = f"{_PREFIX}erased"  # the ids of results that were erased

STUDY_KEY = f"{_PREFIX}study-key"  # the name of the MAC key that pseudonyms of studies are made with


def key_of(kind: str, identifier: str) -> str:
    """The key of a part of a result."""
    return f"{_PREFIX}{kind}:{identifier}"


def index_of(order: str, list_filter: str) -> str:
    """The key of an index."""
    return key_of("index", f"{order}:{list_filter.replace(' ', '-')}")
