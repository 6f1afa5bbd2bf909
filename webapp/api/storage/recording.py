"""Record an act in the trail in the transaction that changes what it changes."""

from dataclasses import dataclass, replace

import redis

from webapp.api.storage.keys import TRAIL
from webapp.api.storage.trail import Act, Trail
from webapp.api.storage.trail_end import Head


@dataclass(frozen=True)
class Prepared:
    """An entry that a transaction adds."""

    trail: Trail
    sealed: bytes
    head: Head

    def queue(self, pipe: redis.client.Pipeline) -> None:
        """Queue its addition."""
        pipe.hsetnx(TRAIL, str(self.head.n), self.sealed)

    def done(self) -> None:
        """The transaction was executed."""
        self.trail.added(self.head)


@dataclass(frozen=True)
class Recording:
    """An act to be recorded with what it changes, or not at all: see transactions.transact."""

    trail: Trail
    act: Act

    @classmethod
    def of(cls, trail: Trail, act: Act | None) -> "Recording | None":
        """The recording of an act; None if there is none to record."""
        return None if act is None else cls(trail, act)

    def prepare(self, pipe: redis.client.Pipeline) -> Prepared:
        """The entry for a transaction that watches TRAIL already."""
        return Prepared(self.trail, *self.trail.prepare(pipe, self.act))

    def unchanged(self) -> None:
        """Record that the act has changed nothing; it is then as harmless as a view, which is not refused either."""
        self.trail.append_or_owe(replace(self.act, outcome="unchanged"))
