"""Orders, filters and cursors of the list of predictions, as text and without the store.

An index is a Redis sorted set whose members all have score 0, so Redis sorts them by their bytes. A member starts with
the sort key, zero-padded, followed by the time and the id: ties have a fixed order, and a page that starts after a
member does not shift when records are added.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from datetime import datetime

from model.serving.prediction import Prediction

ORDERS = ("time", "probability")
FILTERS = ("all", "pneumonia", "no pneumonia", "refused")
_SCALE = 10**9  # probabilities are compared to nine digits
_MEMBER = {
    "time": re.compile(r"[0-9]{17}:[0-9a-f]{32}"),
    "probability": re.compile(r"[0-9]{10}:[0-9]{17}:[0-9a-f]{32}"),
}


class CursorInvalid(Exception):
    """The cursor was not created by this list with this order and filter."""


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


def memberships(prediction: Prediction) -> Iterator[tuple[str, str, str]]:
    """Every (order, filter, member) under which a prediction is listed."""
    outcome = "refused" if prediction["refusal"] is not None else prediction["finding"]
    for order in ORDERS:
        for each_filter in ("all", outcome):
            yield order, each_filter, member(order, prediction)


def id_of(index_member: str) -> str:
    """The id within an index member."""
    return index_member.rpartition(":")[2]


def to_cursor(order: str, list_filter: str, index_member: str) -> str:
    """An opaque text that marks where the next page starts."""
    plain = f"1|{order}|{list_filter}|{index_member}"
    return base64.urlsafe_b64encode(plain.encode("ascii")).decode("ascii").rstrip("=")


def from_cursor(order: str, list_filter: str, cursor: str) -> str:
    """The index member that a cursor marks; raises CursorInvalid."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        plain = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (UnicodeError, binascii.Error) as error:
        raise CursorInvalid("not a cursor") from error
    prefix, index_member = f"1|{order}|{list_filter}|", plain.rpartition("|")[2]
    if plain != prefix + index_member or not _MEMBER[order].fullmatch(index_member):
        raise CursorInvalid("a cursor of another list")
    return index_member
