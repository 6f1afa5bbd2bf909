"""The query parameters that choose a list of predictions."""

from dataclasses import dataclass
from datetime import date
from typing import TypeVar, get_args

from flask import request

from model.serving.prediction import RefusalCode
from webapp.api.intake import MAX_NAME
from webapp.api.problems import Problem
from webapp.api.storage import listing
from webapp.api.storage.listing import Filters
from webapp.api.storage.records import STUDY

REFUSALS: tuple[RefusalCode, ...] = get_args(RefusalCode)
MAX_TEXT = MAX_NAME  # characters: a longer one is in no name
MAX_WORDS = 8
MAX_VERSION = 100
NAMES = ("order", "finding", "q", "refusal", "model", "from", "to", "review", "study")
PAGING = ("cursor", "limit")
_LIMITS = ("20", *map(str, range(1, 101)))  # the first is the default
Choice = TypeVar("Choice", bound=str)


@dataclass(frozen=True)
class ListChoice:
    """A list: its order, its finding and its other filters."""

    order: str
    finding: str
    filters: Filters

    @classmethod
    def read(cls, others: tuple[str, ...] = ()) -> "ListChoice":
        """The list that the request asks for; raises Problem. `others`: further parameters that it may have."""
        _require_known(NAMES + others)
        filters = Filters(
            text=_text("q", MAX_TEXT),
            refusal=_choice("refusal", REFUSALS) if "refusal" in request.args else None,
            model=_text("model", MAX_VERSION),
            since=_day("from"),
            until=_day("to"),
            review=_choice("review", listing.REVIEWS),
            study=_study(),
        )
        if len(filters.words) > MAX_WORDS:
            raise Problem(400, "bad-q", f"q must have at most {MAX_WORDS} words.")
        return cls(_choice("order", listing.ORDERS), _choice("finding", listing.FILTERS), filters)


def limit() -> int:
    """How many predictions the request asks for; raises Problem."""
    value = request.args.get("limit", _LIMITS[0])
    if value not in _LIMITS:
        raise Problem(400, "bad-limit", "limit must be a number from 1 to 100.")
    return int(value)


def _require_known(names: tuple[str, ...]) -> None:
    """Raise Problem for a parameter that is not known: left out, it would give a list that nobody asked for."""
    if unknown := [name for name in request.args if name not in names]:
        detail = f"{unknown[0][:40]} is no parameter of a list, which has: {', '.join(names)}."
        raise Problem(400, "unknown-parameter", detail)


def _choice(name: str, choices: tuple[Choice, ...]) -> Choice:
    value = request.args.get(name, choices[0])
    for choice in choices:
        if value == choice:
            return choice
    raise Problem(400, f"bad-{name}", f"{name} must be one of: {', '.join(choices)}.")


def _text(name: str, longest: int) -> str | None:
    value = request.args.get(name)
    if value is not None and not (value.strip() and len(value) <= longest):
        raise Problem(400, f"bad-{name}", f"{name} must be a text of 1 to {longest} characters.")
    return value


def _study() -> str | None:
    value = request.args.get("study")
    if value is not None and not STUDY.fullmatch(value):
        raise Problem(400, "bad-study", "study must be the pseudonym of a study: 12 of the letters A to Z and 2 to 7.")
    return value


def _day(name: str) -> date | None:
    value = request.args.get(name)
    if value is None:
        return None
    try:
        day = date.fromisoformat(value)
    except ValueError:
        day = None
    if day is None or day.isoformat() != value:  # Python reads other forms, too
        raise Problem(400, f"bad-{name}", f"{name} must be a day such as 2026-03-31.")
    return day
