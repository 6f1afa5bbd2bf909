"""Orders, filters and cursors of the list of predictions: pure text, no store.

An index is a sorted set whose members all have score 0, so Redis keeps them by their bytes. A member starts with
what it is ordered by, zero-padded, then the time, then the id: ties have one order, and a page that starts after a
member is the same whatever is added meanwhile.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from datetime import datetime

ORDERS = ("time", "probability")
FILTERS = ("all", "pneumonia", "no pneumonia", "refused")
_SCALE = 10**9  # probabilities are told apart to nine digits
_MEMBERS = {
    "time": re.compile(r"[0-9]{17}:[0-9a-f]{32}"),
    "probability": re.compile(r"[0-9]{10}:[0-9]{17}:[0-9a-f]{32}"),
}


class CursorInvalid(Exception):
    """The cursor was not made by this list in this order and with this filter."""


def member(order: str, document: dict) -> str:
    """The index member of a prediction; one without probability comes after all others."""
    micros = int(datetime.fromisoformat(document["created"]).timestamp() * 1_000_000)
    tail = f"{micros:017d}:{document['id']}"
    if order == "time":
        return tail
    probability = document["probability"]
    rank = 0 if probability is None else 1 + round(probability * _SCALE)
    return f"{rank:010d}:{tail}"


def memberships(document: dict) -> Iterator[tuple[str, str, str]]:
    """Every (order, filter, member) under which a prediction is listed."""
    kind = "refused" if document["refusal"] is not None else document["finding"]
    for order in ORDERS:
        for chosen in ("all", kind):
            yield order, chosen, member(order, document)


def id_of(name: str) -> str:
    """The id within a member."""
    return name.rpartition(":")[2]


def to_cursor(order: str, chosen: str, name: str) -> str:
    """An opaque text from which the next page goes on."""
    return base64.urlsafe_b64encode(f"1|{order}|{chosen}|{name}".encode("ascii")).decode("ascii").rstrip("=")


def from_cursor(order: str, chosen: str, cursor: str) -> str:
    """The member that a cursor stands for; raises CursorInvalid."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        plain = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (UnicodeError, binascii.Error) as error:
        raise CursorInvalid("not a cursor") from error
    start, name = f"1|{order}|{chosen}|", plain.rpartition("|")[2]
    if plain != start + name or not _MEMBERS[order].fullmatch(name):
        raise CursorInvalid("a cursor of another list")
    return name
