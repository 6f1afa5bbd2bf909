"""The trail in exports: this store's own one and those that were imported, entry by entry, with their seals.

A store never mixes two trails. That of an export stays one of its own, under the first digits of the hash of its last
entry, and the store's own one gets an entry that names it. The hashes do not depend on the key that sealed an entry.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from webapp.api.storage.keys import TRAIL, trail_of
from webapp.api.storage.seal import Seal, SealBroken
from webapp.api.storage.trail import Trail
from webapp.api.storage.trail_end import Head, hash_of

OWN = ""  # the name of a store's own trail
_BATCH = 500  # entries
_DIGITS = 32  # of a hash, which name an imported trail


@dataclass(frozen=True)
class Line:
    """An entry in an export. chain: OWN, or the name of an imported trail."""

    chain: str
    n: int
    sealed: bytes

    def as_json(self) -> bytes:
        """A line of the export."""
        return json.dumps({"chain": self.chain, "n": self.n, "sealed": self.sealed.decode("latin-1")}).encode() + b"\n"

    @classmethod
    def of(cls, text: bytes) -> "Line":
        """The entry in a line of an export; raises ValueError, KeyError or TypeError."""
        document = json.loads(text)
        return cls(str(document["chain"]), int(document["n"]), document["sealed"].encode("latin-1"))


def lines(trail: Trail) -> Iterator[Line]:
    """Every entry of every trail of a store. Raises StoreUnavailable."""
    for chain in (*trail.chains(), OWN):
        head = trail.head(chain)
        for start in range(0, head.n, _BATCH):
            for n, sealed in trail.sealed(start, min(_BATCH, head.n - start), chain):
                yield Line(chain, n, sealed)


class Importer:
    """Adds the trails of an export to a store."""

    def __init__(self, trail: Trail, own: Seal) -> None:
        """`own`: the keys of the store; the trail may know more, which sealed the export."""
        self._trail = trail
        self._own = own

    def add(self, exported: Iterable[Line], head: Head) -> tuple[int, str]:
        """Add what is missing; returns how many entries were added, and the name of the export's own trail.

        head: the last entry of the export's own trail. It has no name if this store's trail goes on from it. Nothing is
        replaced, so that an import that was interrupted goes on where it was. Raises StoreUnavailable.
        """
        name = OWN if not head.n or self._has(head) else head.hash[:_DIGITS]
        added, batch = 0, list[Line]()
        for line in exported:
            chain = line.chain or name
            if chain:
                batch.append(Line(chain, line.n, self._sealed(line.sealed)))
            if len(batch) == _BATCH:
                added += self._write(batch)
                batch = []
        return added + self._write(batch), name

    def _has(self, head: Head) -> bool:
        """Whether this store's own trail has that entry."""
        return any(hash_of(sealed) == head.hash for _, sealed in self._trail.sealed(head.n - 1, 1))

    def _sealed(self, sealed: bytes) -> bytes:
        """The entry under a seal of this store; one that is not as it was sealed stays as it is, and is found later."""
        try:
            self._own.open(TRAIL, sealed)
            return sealed
        except SealBroken:
            pass
        try:
            return self._own.close(TRAIL, self._trail.content(sealed))
        except SealBroken:
            return sealed

    def _write(self, batch: list[Line]) -> int:
        return self._trail.add_imported([(trail_of(line.chain), line.n, line.sealed) for line in batch])
