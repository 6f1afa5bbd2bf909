"""The reviews of a result: a list that only grows, of reviews and of withdrawals of reviews, each entry sealed."""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import redis

from model.schema import Invalid
from webapp.api.storage.changes import announce
from webapp.api.storage.errors import FeedbackFull, Missing
from webapp.api.storage.keys import key_of
from webapp.api.storage.records import Record, Review, ReviewEntry, review_entry_of
from webapp.api.storage.seal import Seal, SealBroken, serialize
from webapp.api.storage.transactions import read_together, transact
from webapp.documents import Feedback, StoredReview, Withdrawal

_MAX_REVIEWS = 50  # of a prediction, also withdrawn and damaged ones; each has at most one withdrawal
# Within this time the same review is the same request, sent again; later it is that of a second reader.
_SENT_AGAIN = timedelta(minutes=2)


class Reviews:
    """The reviews of a store's results. Every method but `last` may raise StoreUnavailable."""

    def __init__(self, client: redis.Redis, seal: Seal, require_current: Callable[[str, bytes | None], Record]) -> None:
        """`require_current`: the record in sealed bytes, unless it has expired; raises Missing or Damaged."""
        self._redis = client
        self._seal = seal
        self._require_current = require_current

    def add(self, identifier: str, document: StoredReview) -> Feedback:
        """Add a review; raises Missing, Damaged or FeedbackFull.

        If the review that counts has the same label and comment and is at most two minutes old, nothing is added and
        that one is returned: it was sent twice.
        """

        def queue(pipe: redis.client.Pipeline) -> Feedback:
            entries, damaged = self._read(pipe, identifier)
            reviews = with_withdrawals(entries)
            if (same := counting(reviews)) is not None and _sent_again(document, same):
                return same
            if len(reviews) + damaged >= _MAX_REVIEWS:
                raise FeedbackFull(f"A prediction can have at most {_MAX_REVIEWS} feedback entries.")
            self._append(pipe, identifier, document)
            return {**document, "id": review_id(document), "withdrawn": None}

        return transact(self._redis, _keys(identifier), queue)

    def withdraw(self, identifier: str, review: str, now: str) -> Feedback:
        """Withdraw a review, by its id, at that time; one that is withdrawn stays so. Raises Missing or Damaged."""

        def queue(pipe: redis.client.Pipeline) -> Feedback:
            entries, _ = self._read(pipe, identifier)
            found = next((each for each in with_withdrawals(entries) if each["id"] == review), None)
            if found is None:
                raise Missing("This result has no review with that id.")
            if found["withdrawn"] is not None:
                return found
            self._append(pipe, identifier, {"prediction": identifier, "withdraws": review, "created": now})
            return {**found, "withdrawn": now}

        return transact(self._redis, _keys(identifier), queue)

    def of(self, identifier: str) -> tuple[list[Feedback], int]:
        """The reviews of a result, oldest first, and how many entries are damaged and left out.

        Raises Missing or Damaged.
        """
        record, key = _keys(identifier)
        values, sealed = read_together(self._redis, lambda pipe: pipe.lrange(key, 0, -1).get(record))
        self._require_current(identifier, sealed)
        entries, damaged = self._open(identifier, values)
        return with_withdrawals(entries), damaged

    def last(self, identifier: str, values: list[bytes]) -> Review:
        """The review that counts, of a result's sealed entries."""
        entries, damaged = self._open(identifier, values)
        found = counting(entries if not _withdrawals(entries) else with_withdrawals(entries))
        return Review(None if found is None else found["label"], damaged > 0)

    def _read(self, pipe: redis.client.Pipeline, identifier: str) -> tuple[list[ReviewEntry], int]:
        record, key = _keys(identifier)
        self._require_current(identifier, pipe.get(record))
        return self._open(identifier, pipe.lrange(key, 0, -1))

    def _append(self, pipe: redis.client.Pipeline, identifier: str, entry: ReviewEntry) -> None:
        key = key_of("feedback", identifier)
        pipe.multi()
        pipe.rpush(key, self._seal.close(key, serialize(entry)))
        announce(pipe, identifier)

    def _open(self, identifier: str, values: list[bytes]) -> tuple[list[ReviewEntry], int]:
        """The intact entries, oldest first, and how many others there are."""
        entries = []
        for value in values:
            with suppress(SealBroken, Invalid):
                entries.append(review_entry_of(json.loads(self._seal.open(key_of("feedback", identifier), value))))
        entries.sort(key=lambda entry: entry.get("created", ""))  # an import appends older ones
        return entries, len(values) - len(entries)


def review_id(review: StoredReview) -> str:
    """What names a review among those of its result: a digest, so that it is the same after an import."""
    return hashlib.sha256(json.dumps(review, sort_keys=True).encode()).hexdigest()[:32]


def with_withdrawals(entries: Sequence[ReviewEntry]) -> list[Feedback]:
    """The reviews among the entries of a result, in their order, each with the time at which it was withdrawn."""
    withdrawn = _withdrawals(entries)
    named = [(review_id(each), each) for each in entries if "label" in each]
    return [{**each, "id": name, "withdrawn": withdrawn.get(name)} for name, each in named]


def counting(reviews: Sequence[Feedback]) -> Feedback | None:
    """The review that counts: the newest one that is not withdrawn."""
    return next((each for each in reversed(reviews) if each.get("withdrawn") is None), None)


def _withdrawals(entries: Sequence[ReviewEntry]) -> dict[str, str]:
    """The time of the first withdrawal by the id of the review; a later one changes nothing."""
    found: list[Withdrawal] = [each for each in entries if "withdraws" in each]
    return {each["withdraws"]: each["created"] for each in reversed(found)}


def _sent_again(review: StoredReview, before: StoredReview) -> bool:
    try:
        between = datetime.fromisoformat(review["created"]) - datetime.fromisoformat(before["created"])
    except (KeyError, TypeError, ValueError):  # of an unknown time
        return False
    return _content(review) == _content(before) and abs(between) <= _SENT_AGAIN


def _content(review: StoredReview) -> tuple[str, str]:
    return review["label"], review.get("comment", "")


def _keys(identifier: str) -> tuple[str, str]:
    return key_of("record", identifier), key_of("feedback", identifier)
