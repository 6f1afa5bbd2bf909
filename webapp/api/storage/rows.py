"""A compact row of each result, in memory: what the list filters and orders by, as columns.

The rows lie in the order of time. Filters are masks over whole columns, so that any of them takes milliseconds at
100,000 rows. The rows say which results a list has and in which order; what is shown of them is read from the store.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from itertools import compress, repeat
from operator import contains

import numpy as np

from webapp.api.storage import listing
from webapp.api.storage.listing import FILTERS, Filters
from webapp.api.storage.records import Record, Review
from webapp.api.storage.studies import study_number

Positions = np.ndarray  # of int64, 1-D
_DAY = 86_400 * 1_000_000  # microseconds
_DAMAGED_RANK = 9_999_999_999  # nobody knows its probability: it stands before the most suspicious ones
_KEPT_WORDS = 8
_FEW = 50  # rows that are removed one by one, which takes longer for more
_UNREAD, _REVIEWED, _DISAGREES, _UNKNOWN = range(4)
_REVIEW_STATES = {
    "unread": (_UNREAD, _UNKNOWN),
    "reviewed": (_REVIEWED, _DISAGREES, _UNKNOWN),
    "disagreement": (_DISAGREES, _UNKNOWN),
}
# The type of each column. `created` is in microseconds since 1970.
_COLUMNS = {"created": "i8", "rank": "i8", "outcome": "u1", "refusal": "u2", "model": "u2", "review": "u1"} | {
    "study": "i8",
    "content": "i8",
}
NONE = -1  # the number of no study, and of no content


@dataclass(frozen=True, slots=True)
class Row:
    """A result in the list. `member` is its member in the index of all results by time.

    created: in microseconds since 1970, as the record says; the member says another time if it is damaged itself.

    Of a damaged record only the member is known. It belongs to every list that its time does not exclude, because
    nobody knows what it was: a list never lacks a result without a word.
    """

    member: str
    name: str = ""
    rank: int = _DAMAGED_RANK
    outcome: str | None = None
    refusal: str | None = None
    model: str | None = None
    review: int = _UNKNOWN
    created: int | None = None
    study: int = NONE
    content: int = NONE


def row_of(record: Record, review: Review) -> Row:
    """The row of an intact record."""
    prediction, source = record.prediction, record.source
    refusal = prediction["refusal"]
    state = _UNREAD if review.label is None else _DISAGREES if review.disagrees(prediction) else _REVIEWED
    return Row(
        member=listing.member("time", prediction),
        name=listing.searchable(prediction["file"]),
        rank=int(listing.member("probability", prediction).partition(":")[0]),
        outcome=listing.outcome(prediction),
        refusal=None if refusal is None else refusal["code"],
        model=prediction["model"]["version"],
        review=_UNKNOWN if review.damaged else state,
        created=listing.created(prediction),
        study=NONE if source is None or source["study"] is None else study_number(source["study"]),
        content=NONE if source is None else content_number(source["sha256"]),
    )


def content_number(sha256: str) -> int:
    """The first 60 bits of the SHA-256 of a file: files of the same number may differ in the others."""
    return int(sha256[:15], 16)


class Rows:
    """The rows of all results. Not safe to share between threads."""

    def __init__(self) -> None:
        self.members: list[str] = []  # ascending
        self.strays: dict[str, str] = {}  # by id, the members that say another time than the record
        self._names: list[str] = []
        self._columns = {name: np.empty(0, dtype) for name, dtype in _COLUMNS.items()}
        self._codes: dict[str | None, int] = {None: 0}  # of models and of refusals
        self._by_rank: Positions | None = None  # all positions by rank; None: to be computed
        self._found: dict[str, np.ndarray] = {}  # by word, for the next page and the next result of a search

    def __len__(self) -> int:
        return len(self.members)

    def models(self, cutoff: int | None = None) -> list[str]:
        """The versions of the models that have results; not counting those made at or before `cutoff`."""
        models = self._columns["model"]
        if cutoff is not None:
            models = models[self._columns["created"] > cutoff]
        counts = np.bincount(models, minlength=len(self._codes))
        return sorted(text for text, code in self._codes.items() if text is not None and counts[code])

    def set(self, rows: Iterable[Row]) -> None:
        """Add rows, or replace those with the same member."""
        new: dict[str, Row] = {}
        for row in rows:
            if row.created is not None and row.created != listing.time_of(row.member):
                self.strays[listing.id_of(row.member)] = row.member
            position = bisect_left(self.members, row.member)
            if position < len(self) and self.members[position] == row.member:
                values = self._values(row)
                if row.name != self._names[position] or values["rank"] != self._columns["rank"][position]:
                    self._forget()
                self._names[position] = row.name
                for name, value in values.items():
                    self._columns[name][position] = value
            else:
                new[row.member] = row
        if new:
            self._insert([new[member] for member in sorted(new)])

    def _insert(self, rows: Sequence[Row]) -> None:
        self._forget()
        positions = [bisect_left(self.members, row.member) for row in rows]
        values = [self._values(row) for row in rows]
        for name, dtype in _COLUMNS.items():
            column = np.array([each[name] for each in values], dtype)
            self._columns[name] = np.insert(self._columns[name], positions, column)
        for position, row in zip(reversed(positions), reversed(rows), strict=True):
            self.members[position:position] = [row.member]
            self._names[position:position] = [row.name]

    def _values(self, row: Row) -> dict[str, int]:
        return {
            "created": listing.time_of(row.member) if row.created is None else row.created,
            "rank": row.rank,
            "outcome": 0 if row.outcome is None else FILTERS.index(row.outcome),
            "refusal": self._codes.setdefault(row.refusal, len(self._codes)),
            "model": self._codes.setdefault(row.model, len(self._codes)),
            "review": row.review,
            "study": row.study,
            "content": row.content,
        }

    def remove(self, members: Iterable[str]) -> None:
        """Remove the rows with these members; others are ignored."""
        places = ((bisect_left(self.members, member), member) for member in members)
        gone = sorted({place for place, member in places if self.members[place : place + 1] == [member]})
        if not gone:
            return
        self._forget()
        kept = np.ones(len(self), bool)
        kept[gone] = False
        for column in _COLUMNS:
            self._columns[column] = self._columns[column][kept]
        for place in gone if self.strays else ():
            self.strays.pop(listing.id_of(self.members[place]), None)
        if len(gone) <= _FEW:
            for place in reversed(gone):
                del self.members[place], self._names[place]
        else:
            self.members, self._names = list(compress(self.members, kept)), list(compress(self._names, kept))

    def select(self, order: str, finding: str, filters: Filters, cutoff: int | None = None) -> Positions:
        """The positions of the rows in a list, in its order; without those made at or before `cutoff`."""
        mask = self._mask(finding, filters)
        if cutoff is not None:
            mask &= self._columns["created"] > cutoff
        for word in filters.words:
            mask &= self._containing(word)
        if order == "time":
            return np.flatnonzero(mask)[::-1]
        if self._by_rank is None:  # stable, so that equal ones stay in the order of time
            self._by_rank = np.argsort(self._columns["rank"], kind="stable")
        return self._by_rank[mask[self._by_rank]][::-1]

    def of_content(self, number: int, cutoff: int | None = None) -> list[str]:
        """The members of the rows with that number of the content, ascending; none made at or before `cutoff`."""
        mask = self._columns["content"] == number
        if cutoff is not None:
            mask &= self._columns["created"] > cutoff
        return [self.members[position] for position in np.flatnonzero(mask)]

    def _containing(self, word: str) -> np.ndarray:
        """A mask of the rows whose name contains the word, or is not known."""
        if word not in self._found:
            if len(self._found) == _KEPT_WORDS:
                self._found.clear()
            found = np.fromiter(map(contains, self._names, repeat(word)), bool, len(self))
            self._found[word] = found | (self._columns["outcome"] == 0)
        return self._found[word]

    def _forget(self) -> None:
        """Forget what was computed from rows that change now."""
        self._by_rank = None
        self._found.clear()

    def _mask(self, finding: str, filters: Filters) -> np.ndarray:
        columns = self._columns
        damaged = columns["outcome"] == 0
        mask = np.ones(len(self), bool)
        if finding != "all":
            mask &= (columns["outcome"] == FILTERS.index(finding)) | damaged
        for name, wanted in (("refusal", filters.refusal), ("model", filters.model)):
            if wanted is not None:
                mask &= (columns[name] == self._codes.get(wanted, len(self._codes))) | damaged
        if filters.study is not None:
            mask &= (columns["study"] == study_number(filters.study)) | damaged
        if filters.since is not None:
            mask &= columns["created"] >= _microseconds(filters.since)
        if filters.until is not None:
            unknown = columns["created"] == listing.UNKNOWN_TIME
            mask &= (columns["created"] < _microseconds(filters.until) + _DAY) | unknown
        if filters.review != "all":
            mask &= np.isin(columns["review"], _REVIEW_STATES[filters.review])
        return mask

    def is_damaged(self, position: int) -> bool:
        """Whether the record of a row could not be read."""
        return not self._columns["outcome"][position]

    def member(self, order: str, position: int) -> str:
        """The member of a row in the index of that order."""
        tail = self.members[position]
        return tail if order == "time" else f"{self._columns['rank'][position]:010d}:{tail}"

    def member_of(self, order: str, record: Record) -> str:
        """The member of an intact record in the index of that order, as the rows have it."""
        member, tail = listing.member(order, record.prediction), listing.member("time", record.prediction)
        return member.removesuffix(tail) + self.strays.get(record.id, tail)

    def standing_before(self, order: str, chosen: Positions, member: str, including: bool = False) -> int:
        """How many of the chosen rows stand before a member of the order's index, or before and at it.

        The member need not be there, and may be any text.
        """
        bisect = bisect_left if including else bisect_right
        return len(chosen) - bisect(chosen[::-1], member, key=lambda position: self.member(order, position))


def _microseconds(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp()) * 1_000_000
