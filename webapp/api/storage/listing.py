"""Orders, filters and cursors of the list of predictions, without the store.

An index is a Redis sorted set whose members all have score 0, so Redis sorts them by their bytes. A member starts with
the sort key, zero-padded, followed by the time and the id: ties have a fixed order, and a page that starts after a
member does not shift when records are added.
"""

import base64
import binascii
import hashlib
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Literal, get_args

from model.serving.prediction import Prediction, RefusalCode

ReviewFilter = Literal["all", "unread", "reviewed", "disagreement"]
ORDERS = ("time", "probability")
FILTERS = ("all", "pneumonia", "no pneumonia", "refused")
REVIEWS: tuple[ReviewFilter, ...] = get_args(ReviewFilter)
UNKNOWN_TIME = 2**62  # later than any; such a result is in the lists of all days, and has not expired
_TIME_DIGITS = 17
_OF_INDEX = "index|"
_SCALE = 10**9  # probabilities are compared to nine digits


class CursorInvalid(Exception):
    """The cursor was not created by this list with this order and filter."""


@dataclass(frozen=True)
class Filters:
    """What a list is narrowed to beside its finding. Dates are days of UTC, both included; None: not narrowed."""

    text: str | None = None
    refusal: RefusalCode | None = None
    model: str | None = None
    since: date | None = None
    until: date | None = None
    review: ReviewFilter = "all"
    study: str | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The words that a file name must contain, each anywhere in it."""
        return tuple(searchable(self.text).split()) if self.text else ()


NO_FILTERS = Filters()


def searchable(text: str) -> str:
    """A text in which upper and lower case are the same, and so are the two ways to write an accent."""
    # The standard's caseless match, and composed again, so that "e" is in no "é". Folding the case may take apart.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def created(prediction: Prediction) -> int:
    """When a prediction was made, in microseconds since 1970."""
    return int(datetime.fromisoformat(prediction["created"]).timestamp() * 1_000_000)


def member(order: str, prediction: Prediction) -> str:
    """The index member of a prediction; predictions without a probability sort last."""
    tail = f"{created(prediction):017d}:{prediction['id']}"
    if order == "time":
        return tail
    probability = prediction["probability"]
    rank = 0 if probability is None else 1 + round(probability * _SCALE)
    return f"{rank:010d}:{tail}"


def outcome(prediction: Prediction) -> str:
    """Which of FILTERS has the prediction, beside "all"."""
    return "refused" if prediction["finding"] is None else prediction["finding"]


def memberships(prediction: Prediction) -> Iterator[tuple[str, str, str]]:
    """Every (order, filter, member) under which a prediction is listed."""
    for order in ORDERS:
        for each_filter in ("all", outcome(prediction)):
            yield order, each_filter, member(order, prediction)


def id_of(index_member: str) -> str:
    """The id within an index member."""
    return index_member.rpartition(":")[2]


def time_of(index_member: str) -> int:
    """The time within an index member, in microseconds since 1970; UNKNOWN_TIME if the member is damaged."""
    number = index_member.rpartition(":")[0].rpartition(":")[2]
    return int(number) if number.isascii() and number.isdecimal() and len(number) == _TIME_DIGITS else UNKNOWN_TIME


def to_cursor(
    order: str, list_filter: str, index_member: str, filters: Filters = NO_FILTERS, of_index: bool = False
) -> str:
    """An opaque text that marks where the next page starts; `of_index`: in the index of Redis, see is_of_index."""
    plain = (_OF_INDEX if of_index else "") + _prefix(order, list_filter, filters) + index_member
    return base64.urlsafe_b64encode(plain.encode("latin-1")).decode("ascii").rstrip("=")


def from_cursor(order: str, list_filter: str, cursor: str, filters: Filters = NO_FILTERS) -> str:
    """The index member that a cursor marks, which may be damaged; raises CursorInvalid."""
    plain = _decoded(cursor).removeprefix(_OF_INDEX)
    prefix = _prefix(order, list_filter, filters)
    if not plain.startswith(prefix) or plain == prefix:
        raise CursorInvalid("a cursor of another list")
    return plain.removeprefix(prefix)


def is_of_index(cursor: str) -> bool:
    """Whether the pages before this cursor were read from the index of Redis, which has damaged records elsewhere.

    Raises CursorInvalid.
    """
    return _decoded(cursor).startswith(_OF_INDEX)


def _decoded(cursor: str) -> str:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode("latin-1")
    except (UnicodeError, binascii.Error) as error:
        raise CursorInvalid("not a cursor") from error


def _prefix(order: str, list_filter: str, filters: Filters) -> str:
    """What a cursor starts with: the list that it belongs to, of the filters only a digest."""
    if filters == NO_FILTERS:
        return f"1|{order}|{list_filter}|"
    fields = asdict(filters) | {"text": filters.words}
    if filters.study is None:  # as before there were studies, so that cursors of that version stay valid
        del fields["study"]
    content = json.dumps(fields, default=str)
    return f"2|{order}|{list_filter}|{hashlib.sha256(content.encode()).hexdigest()[:16]}|"
