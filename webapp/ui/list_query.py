"""The list that a page's address names: order, filters and search, by the names that the API gives them, too."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import get_args

from flask import request

from model.serving.prediction import RefusalCode
from webapp.ui.transport import ApiError

ORDERS = {"time": "newest first", "probability": "most suspicious first"}
FINDINGS = {
    "all": "any finding",
    "pneumonia": "signs of pneumonia",
    "no pneumonia": "below the operating point",
    "refused": "not assessed",
}
REVIEWS = {
    "all": "any review",
    "unread": "unread",
    "reviewed": "reviewed",
    "disagreement": "contradicts the model",
}
_REVIEW_WORDS = {"disagreement": "review contradicts the model"}
REFUSALS = {"": "any reason", **{code: code.replace("_", " ") for code in get_args(RefusalCode)}}
MAX_TEXT = 120  # characters; the API takes no more
_MAX_WORDS = 8  # nor more words
_MAX_VERSION = 100
_STUDY = re.compile("[A-Z2-7]{12}")
_DEFAULTS = {"order": "time", "finding": "all", "review": "all"}  # those of the others are empty
NAMES = ("order", "finding", "q", "refusal", "model", "from", "to", "review", "study")


@dataclass(frozen=True)
class ListQuery:
    """What differs from the list of all results, newest first: values by the name of their parameter."""

    fields: Mapping[str, str]

    @classmethod
    def read(cls) -> "ListQuery":
        """The list that the current request names; raises ApiError. An empty value is none: forms send such."""
        values = {
            "order": _choice("order", "an order", ORDERS),
            "finding": _choice("finding", "a finding", FINDINGS),
            "q": _text("q", "The file name", MAX_TEXT),
            "refusal": _choice("refusal", "a reason of a refusal", REFUSALS),
            "model": _text("model", "The model", _MAX_VERSION),
            "from": _day("from", "first"),
            "to": _day("to", "last"),
            "review": _choice("review", "a state of review", REVIEWS),
            "study": _study(),
        }
        if len(values["q"].split()) > _MAX_WORDS:
            raise _no_list(f"The file name to look for has at most {_MAX_WORDS} words.")
        if values["from"] > values["to"] > "":  # the list would be empty, whatever is stored
            raise _no_list("The first day is after the last one.")
        return cls({name: value for name, value in values.items() if value != _DEFAULTS.get(name, "")})

    def get(self, name: str) -> str:
        """The value of a parameter; empty if it narrows nothing."""
        return self.fields.get(name, "")

    @property
    def filters(self) -> dict[str, str]:
        """Without the order, which leaves nothing out."""
        return {name: value for name, value in self.fields.items() if name != "order"}

    @property
    def words(self) -> str:
        """The list in words, for people."""
        parts = [
            FINDINGS[self.get("finding") or "all"] if self.get("finding") else "",
            f"refused: {REFUSALS[self.get('refusal')]}" if self.get("refusal") else "",
            _REVIEW_WORDS.get(self.get("review"), self.get("review")),
            f"“{self.get('q')}” in the file name" if self.get("q") else "",
            f"study {self.get('study')}" if self.get("study") else "",
            f"model {self.get('model')}" if self.get("model") else "",
            f"from {self.get('from')}" if self.get("from") else "",
            f"to {self.get('to')}" if self.get("to") else "",
        ]
        order = ORDERS[self.get("order") or "time"]
        return ", ".join([part for part in parts if part] or ["all results"]) + f"; {order}"


EVERYTHING = ListQuery({})


def _no_list(why: str) -> ApiError:
    return ApiError(400, "There is no such list", why)


def _choice(name: str, what: str, choices: Mapping[str, str]) -> str:
    default = next(iter(choices))
    value = request.args.get(name) or default
    if value not in choices:
        raise _no_list(f"Its address names {what} that does not exist. Choose one above the list.")
    return value


def _text(name: str, what: str, longest: int) -> str:
    value = request.args.get(name, "").strip()
    if len(value) > longest:
        raise _no_list(f"{what} to look for has at most {longest} characters.")
    return value


def _study() -> str:
    value = request.args.get("study", "").strip()
    if value and not _STUDY.fullmatch(value):
        raise _no_list("Its address names no study.")
    return value


def _day(name: str, which: str) -> str:
    value = request.args.get(name, "").strip()
    try:
        good = not value or date.fromisoformat(value).isoformat() == value
    except ValueError:
        good = False
    if not good:
        raise _no_list(f"The {which} day in its address is no day of the calendar; 2026-03-31 is one.")
    return value
