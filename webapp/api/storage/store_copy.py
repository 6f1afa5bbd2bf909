"""Results as they lie in the store, with their seals: read them for an export, and add those of an export."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property

import redis

from model.schema import Invalid
from webapp.api.storage import listing
from webapp.api.storage.changes import announce, try_to_announce
from webapp.api.storage.copied_items import Contents, Item, Verified, intact
from webapp.api.storage.errors import Damaged, Missing, NoTrail, redis_errors
from webapp.api.storage.keys import ERASED, index_of, key_of
from webapp.api.storage.records import Record, ReviewEntry, review_entry_of
from webapp.api.storage.result_parts import entries_of, queue_erasure
from webapp.api.storage.seal import Seal, SealBroken
from webapp.api.storage.store import PROBE_SECONDS, Store
from webapp.api.storage.transactions import transact

_BATCH = 500  # keys of one request
_CLOCKS_S = 60  # that the clocks of two hosts may differ


class StoreCopy(Store):
    """The store, result by result. Every method may raise StoreUnavailable."""

    def result_ids(self) -> list[str]:
        """The ids of all results, sorted.

        A probe's record, which nobody lists and which expires, is none, nor is a result that has expired. A result
        whose index entry was lost is one. Raises ClockWrong.
        """
        cutoff = self.eraser.cutoff  # not by one clock alone: what an export lacks is gone with the store
        with redis_errors():
            members = self._redis.zrevrangebylex(
                index_of("time", "all"), "+", "-" if cutoff is None else f"[{cutoff + 1:017d}"
            )
        listed = {listing.id_of(member.decode("ascii", "replace")) for member in members}
        stored = set(self.ids())
        return sorted(stored & listed | {each for each in stored - listed if not self._is_probe(each)})

    def older_than(self, days: int) -> int:
        """How many listed results were made at least so many days ago."""
        oldest = max(0, int((time.time() - days * 86400) * 1_000_000))
        with redis_errors():
            return len(self._redis.zrevrangebylex(index_of("time", "all"), f"({oldest + 1:017d}", "-"))

    def _is_probe(self, identifier: str) -> bool:
        """Whether a record without an index entry may be a probe's: a record that is older would have expired."""
        try:
            created = datetime.fromisoformat(self.get(identifier).prediction["created"])
        except Missing:  # expired
            return True
        except Damaged:
            return False
        age = (datetime.now(UTC) - created).total_seconds()
        return -_CLOCKS_S <= age <= PROBE_SECONDS + _CLOCKS_S

    def item(self, identifier: str) -> Item | None:
        """A result as stored; None if it has expired."""
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            pipe.get(key_of("record", identifier))
            pipe.get(key_of("image", identifier))
            pipe.get(key_of("film", identifier))
            pipe.lrange(key_of("feedback", identifier), 0, -1)
            record, picture, film, feedback = pipe.execute()
        return None if record is None else Item(identifier, record, picture, tuple(feedback), film)

    def summary(self) -> dict[str, object]:
        """How many results, pictures and reviews there are, the digest of the contents, and Redis' memory in bytes.

        trail: the hash of the last entry of the trail; empty if there is none. Reads no picture.
        """
        counts, contents = Counter(results=0, pictures=0, reviews=0), Contents()
        ids = self.result_ids()
        with redis_errors():
            pictures = {each.decode("ascii", "replace").rpartition(":")[2] for each in self._scan("image")}
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
                for identifier in batch:
                    pipe.get(key_of("record", identifier))
                    pipe.lrange(key_of("feedback", identifier), 0, -1)
                parts = pipe.execute()
            for identifier, record, feedback in zip(batch, parts[::2], parts[1::2], strict=True):
                if record is not None:  # not erased in the meantime
                    contents.add(identifier, record, feedback)
                    reviews = self._number(identifier, feedback)
                    counts.update(results=1, pictures=identifier in pictures, reviews=reviews)
        with redis_errors():
            memory = self._redis.info("memory")["used_memory"]
        trail = ""
        with suppress(NoTrail):  # a store of an earlier version
            trail = self.trail.head().hash
        return {**counts, "contents": contents.hexdigest(), "bytes": memory, "trail": trail}

    def _number(self, identifier: str, feedback: Sequence[bytes]) -> int:
        """How many sealed entries are reviews, or damaged."""
        entries = self.verified(Item(identifier, b"", None, tuple(feedback))).feedback
        return len(feedback) - sum("withdraws" in each for each in entries)

    def _scan(self, kind: str) -> Iterator[bytes]:
        return self._redis.scan_iter(match=key_of(kind, "*"), count=_BATCH)

    def verified(self, item: Item) -> Verified:
        """The intact and the damaged parts of an item."""
        damaged: dict[str, bytes] = {}
        record, keys = None, set()
        try:
            record = self.open_record(item.id, item.record)
            keys.add(self._seal.sealed_with(key_of("record", item.id), item.record))
        except Damaged:
            damaged["record"] = item.record
        picture = intact("picture", record, record and record.image, item.picture, damaged)
        film = intact("film", record, record and record.film, item.film, damaged)
        feedback = []
        for number, sealed in enumerate(item.feedback):
            try:
                feedback.append(review_entry_of(json.loads(self._seal.open(key_of("feedback", item.id), sealed))))
                keys.add(self._seal.sealed_with(key_of("feedback", item.id), sealed))
            except (SealBroken, Invalid):
                damaged[f"review-{number}"] = sealed
        return Verified(record, picture, tuple(feedback), damaged, frozenset(keys), film)

    def add(self, item: Item, own: Seal) -> Counter[str]:
        """Add the result of an export, which must be intact; returns what was added.

        A result that has expired is not added. A stored result stays as it is, unless it is damaged or has expired. Of
        a result that is stored, only missing reviews and withdrawals are added; if it differs from the export's, none
        that are older than it, which are of a result that was erased. `back`: the result, or reviews of it, had been
        erased. What was sealed with a key that is not one of `own` is sealed anew. Raises ClockWrong.
        """
        new = self.verified(item)
        if new.record is not None and self._retention.expired(new.record.prediction):
            return Counter(expired=1)
        record, image, film, feedback = (key_of(kind, item.id) for kind in ("record", "image", "film", "feedback"))

        def queue(pipe: redis.client.Pipeline) -> Counter[str]:
            reviews = tuple(pipe.lrange(feedback, 0, -1))
            old = Item(item.id, pipe.get(record) or b"", pipe.get(image), reviews, pipe.get(film))
            stored = self.verified(old) if old.record else Verified()
            erased = bool(pipe.zrevrangebylex(ERASED, f"[{item.id}", f"[{item.id}"))
            lapsed = stored.record is not None and self.gives_way(stored.record)
            pipe.multi()
            if lapsed:
                queue_erasure(pipe, item.id, entries_of(stored.record), announced=self._announces)
                old, stored = Item(item.id, b"", None, ()), Verified()
            done = self._queue(pipe, item, new, old, stored, own)
            return done + Counter(back=erased and bool(done["added"] or done["reviews"] or done["withdrawals"]))

        return transact(self._redis, (record, image, film, feedback, ERASED), queue)

    @cached_property
    def _announces(self) -> bool:
        """Whether changes are announced: not in a stack of an earlier version, whose API does not read that."""
        try:
            try_to_announce(self._redis)
        except redis.exceptions.NoPermissionError:
            return False
        return True

    def _queue(
        self, pipe: redis.client.Pipeline, item: Item, new: Verified, old: Item, stored: Verified, own: Seal
    ) -> Counter[str]:
        """Queue the commands that add what is missing in `old`, whose intact parts are `stored`; returns them."""
        if stored.record is None:
            pipe.set(key_of("record", item.id), _sealed_by(own, self._seal, key_of("record", item.id), item.record))
            for order, list_filter, member in listing.memberships(new.record.prediction):
                pipe.zadd(index_of(order, list_filter), {member: 0})
        same = stored.record in (None, new.record)
        if same and new.picture is not None and stored.picture is None:
            pipe.set(key_of("image", item.id), new.picture)
        if same and new.film is not None and stored.film is None:
            pipe.set(key_of("film", item.id), new.film)
        missing = [
            (sealed, "withdrawals" if "withdraws" in document else "reviews")
            for sealed, document in zip(item.feedback, new.feedback, strict=True)
            if document not in stored.feedback and (same or not _older(document, stored.record))
        ]
        for sealed, _ in missing:
            pipe.rpush(key_of("feedback", item.id), _sealed_by(own, self._seal, key_of("feedback", item.id), sealed))
        if (stored.record is None or missing) and self._announces:
            announce(pipe, item.id)
        return Counter([_outcome(old, stored, new), *(kind for _, kind in missing)])


def _older(review: ReviewEntry, record: Record) -> bool:
    """Whether an entry is from before a record, or of an unknown time: then it is of an earlier result."""
    try:
        return datetime.fromisoformat(review["created"]) < datetime.fromisoformat(record.prediction["created"])
    except (KeyError, TypeError, ValueError):
        return True


def _outcome(old: Item, stored: Verified, new: Verified) -> str:
    if not old.record:
        return "added"
    lacking = (stored.picture is None and new.picture is not None) or (stored.film is None and new.film is not None)
    if stored.record is None or (stored.record == new.record and lacking):
        return "repaired"
    return "present" if stored.record == new.record else "kept"


def _sealed_by(own: Seal, any_key: Seal, key_name: str, sealed: bytes) -> bytes:
    """The content under a seal of this store: the same bytes if it can open them, otherwise sealed anew."""
    try:
        own.open(key_name, sealed)
        return sealed
    except SealBroken:
        return own.close(key_name, any_key.open(key_name, sealed))
