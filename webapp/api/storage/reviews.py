"""The reviews of a result: a list that only grows, of reviews and of withdrawals of reviews, each entry sealed."""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple, cast

import redis

from model.schema import Invalid
from webapp.api.storage.changes import announce
from webapp.api.storage.errors import FeedbackFull, Missing, NotAuthor
from webapp.api.storage.keys import key_of
from webapp.api.storage.recording import Recording
from webapp.api.storage.records import Record, Review, ReviewEntry, review_entry_of
from webapp.api.storage.seal import Seal, SealBroken, serialize
from webapp.api.storage.trail import Act, Trail
from webapp.api.storage.transactions import read_together, transact
from webapp.documents import Feedback, StoredReview, Withdrawal

_MAX_REVIEWS = 50  # of a prediction, also withdrawn and damaged ones; each has at most one withdrawal
# Within this time the same review is the same request, sent again; later it is that of a second reader.
_SENT_AGAIN = timedelta(minutes=2)


class Withdrawer(NamedTuple):
    """Who withdraws a review: `who` as reviews have it, None if not recorded. all: also reviews of others."""

    who: str | None
    all: bool


ANYBODY = Withdrawer(None, all=True)


class Reviews:
    """The reviews of a store's results. Every method but `last` may raise StoreUnavailable."""

    def __init__(
        self, client: redis.Redis, seal: Seal, require_current: Callable[[str, bytes | None], Record], trail: Trail
    ) -> None:
        """`require_current`: the record in sealed bytes, unless it has expired; raises Missing or Damaged."""
        self._redis = client
        self._seal = seal
        self._require_current = require_current
        self._trail = trail

    def add(self, identifier: str, document: StoredReview, act: Act | None = None) -> Feedback:
        """Add a review; raises Missing, Damaged or FeedbackFull. `act`: for the trail.

        If the review that counts is by the same person, has the same label and comment and is at most two minutes old,
        nothing is added and that one is returned: it was sent twice.
        """

        def queue(pipe: redis.client.Pipeline) -> Feedback:
            entries, damaged = self._read(pipe, identifier)
            reviews = with_withdrawals(entries)
            if (same := counting(reviews)) is not None and _sent_again(document, same):
                return same
            if len(reviews) + damaged >= _MAX_REVIEWS:
                raise FeedbackFull(f"A prediction can have at most {_MAX_REVIEWS} feedback entries.")
            stored: StoredReview = {**document, "number": _next(entries, damaged)}
            self._append(pipe, identifier, stored)
            return _told(stored, None)

        return transact(self._redis, _keys(identifier), queue, Recording.of(self._trail, act))

    def withdraw(
        self, identifier: str, review: str, now: str, by: Withdrawer = ANYBODY, act: Act | None = None
    ) -> Feedback:
        """Withdraw a review, by its id, at that time; one that is withdrawn stays so. `act`: for the trail.

        Raises Missing, Damaged, or NotAuthor if the one who withdraws may not.
        """

        def queue(pipe: redis.client.Pipeline) -> Feedback:
            entries, damaged = self._read(pipe, identifier)
            found = next((each for each in with_withdrawals(entries) if each["id"] == review), None)
            if found is None:
                raise Missing("This result has no review with that id.")
            if not by.all and (by.who is None or by.who != found["who"]):
                raise NotAuthor
            if found["withdrawn"] is not None:
                return found
            entry: Withdrawal = {"prediction": identifier, "withdraws": review, "created": now, "who": by.who}
            self._append(pipe, identifier, {**entry, "number": _next(entries, damaged)})
            return {**found, "withdrawn": now}

        return transact(self._redis, _keys(identifier), queue, Recording.of(self._trail, act))

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
        return Review(None, damaged > 0) if found is None else Review(found["label"], damaged > 0, found.get("who"))

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
        for position, value in enumerate(values):
            with suppress(SealBroken, Invalid):
                entry = review_entry_of(json.loads(self._seal.open(key_of("feedback", identifier), value)))
                entries.append((position, entry))
        return _in_order(entries), len(values) - len(entries)


def review_id(review: StoredReview) -> str:
    """What names a review among those of its result: a digest, so that it is the same after an import."""
    return hashlib.sha256(json.dumps(review, sort_keys=True).encode()).hexdigest()[:32]


def with_withdrawals(entries: Sequence[ReviewEntry]) -> list[Feedback]:
    """The reviews among the entries of a result, in their order, each with the time at which it was withdrawn."""
    withdrawn = _withdrawals(entries)
    return [_told(each, withdrawn.get(review_id(each))) for each in entries if "label" in each]


def _told(review: StoredReview, withdrawn: str | None) -> Feedback:
    shown = {name: value for name, value in review.items() if name != "number"}
    return cast(Feedback, {"who": None, **shown, "id": review_id(review), "withdrawn": withdrawn})


def _in_order(entries: Sequence[tuple[int, ReviewEntry]]) -> list[ReviewEntry]:
    """Entries with their positions in the store's list, oldest first.

    Those with a number stand in its order: no clock is asked. One without is from before them. It is from after one of
    them only if both its time and its position say so: an API of an earlier version has added it after a rollback. Its
    position alone does not say so, because an import appends older ones.
    """
    if not any("number" in entry for _, entry in entries):
        return sorted((entry for _, entry in entries), key=_created)
    numbered = sorted(
        ((position, entry) for position, entry in entries if "number" in entry),
        key=lambda each: (each[1]["number"], _created(each[1])),
    )
    keyed = [((rank, 0, ""), entry) for rank, (_, entry) in enumerate(numbered)]
    for position, entry in entries:
        if "number" not in entry:
            after = [n for n, (at, each) in enumerate(numbered) if at < position and _created(each) < _created(entry)]
            keyed.append(((max(after, default=-1), 1, _created(entry)), entry))
    return [entry for _, entry in sorted(keyed, key=lambda each: each[0])]


def _created(entry: ReviewEntry) -> str:
    return entry.get("created", "")


def _next(entries: Sequence[ReviewEntry], damaged: int) -> int:
    """A number greater than those of all entries of a result, of which earlier versions gave none."""
    return 1 + max([len(entries) + damaged, *(each.get("number", 0) for each in entries)])


def counting(reviews: Sequence[Feedback]) -> Feedback | None:
    """The review that counts: the newest one that is not withdrawn."""
    return next((each for each in reversed(reviews) if each.get("withdrawn") is None), None)


def _withdrawals(entries: Sequence[ReviewEntry]) -> dict[str, str]:
    """The time of the first withdrawal by the id of the review; a later one changes nothing."""
    found: list[Withdrawal] = [each for each in entries if "withdraws" in each]
    return {each["withdraws"]: each["created"] for each in reversed(found)}


def _sent_again(review: StoredReview, before: Feedback) -> bool:
    try:
        between = datetime.fromisoformat(review["created"]) - datetime.fromisoformat(before["created"])
    except (KeyError, TypeError, ValueError):  # of an unknown time
        return False
    return _content(review) == _content(before) and abs(between) <= _SENT_AGAIN


def _content(review: StoredReview | Feedback) -> tuple[str, str, str | None]:
    return review["label"], review.get("comment", ""), review.get("who")


def _keys(identifier: str) -> tuple[str, str]:
    return key_of("record", identifier), key_of("feedback", identifier)
