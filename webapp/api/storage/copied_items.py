"""A result with all its parts, as an export reads it and an import adds it, and what is intact of it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from webapp.api.storage.records import Record, ReviewEntry


@dataclass(frozen=True)
class Item:
    """A result as stored: the sealed record, the pictures, the sealed feedback. Nothing of it is verified."""

    id: str
    record: bytes
    picture: bytes | None
    feedback: tuple[bytes, ...]
    film: bytes | None = None


@dataclass(frozen=True)
class Verified:
    """The intact parts of an item, and the bytes of its damaged ones by name.

    `sealed_with`: the ids of the keys of the record and of the reviews, which may come from after a rotation.
    """

    record: Record | None = None
    picture: bytes | None = None
    feedback: tuple[ReviewEntry, ...] = ()
    damaged: dict[str, bytes] = field(default_factory=dict)
    sealed_with: frozenset[str] = frozenset()
    film: bytes | None = None


class Contents:
    """A digest of the records and reviews that a store holds: an id alone may be of a result that was sent again.

    A record has the digests of its pictures.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, identifier: str, record: bytes, feedback: Sequence[bytes]) -> None:
        """Count in a result, its parts as they are stored; the ids must be sorted."""
        parts = (hashlib.sha256(part).hexdigest() for part in (record, *feedback))
        self._digest.update(f"{identifier} {' '.join(parts)}\n".encode())

    def hexdigest(self) -> str:
        """The digest of all results so far."""
        return self._digest.hexdigest()


def intact(
    name: str, record: Record | None, described: dict | None, content: bytes | None, damaged: dict[str, bytes]
) -> bytes | None:
    """A picture if it is the one that its record describes; otherwise None, and noted in `damaged` under its name."""
    if record is not None and described is None:
        return None
    if described is not None and content is not None and hashlib.sha256(content).hexdigest() == described["sha256"]:
        return content
    if record is not None or content is not None:
        damaged[name] = content or b""
    return None
