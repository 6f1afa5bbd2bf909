"""The list that a page's address names: order, filters and search, by the names that the API gives them, too."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import reduce
from typing import get_args

from flask import request

from model.serving.prediction import RefusalCode
from webapp.ui.languages.said import coded, say
from webapp.ui.transport import ApiError

ORDERS = {"time": say("newest first"), "probability": say("most suspicious first")}
FINDINGS = {
    "all": say("any finding"),
    "pneumonia": say("signs of pneumonia"),
    "no pneumonia": say("below the operating point"),
    "refused": say("not assessed"),
}
REVIEWS = {
    "all": say("any review"),
    say("unread"): say("unread"),
    say("reviewed"): say("reviewed"),
    "disagreement": say("contradicts the model"),
}
_REVIEW_WORDS = {**REVIEWS, "all": "", "disagreement": say("review contradicts the model")}
REFUSALS = {
    "": say("any reason"),
    **{code: coded("refusal-name", code, code.replace("_", " ")) for code in get_args(RefusalCode)},
}
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
            "order": _choice(
                "order", say("Its address names an order that does not exist. Choose one above the list."), ORDERS
            ),
            "finding": _choice(
                "finding", say("Its address names a finding that does not exist. Choose one above the list."), FINDINGS
            ),
            "q": _text("q", say("The file name to look for has at most {n} characters.", n=MAX_TEXT), MAX_TEXT),
            "refusal": _choice(
                "refusal",
                say("Its address names a reason of a refusal that does not exist. Choose one above the list."),
                REFUSALS,
            ),
            "model": _text(
                "model", say("The model to look for has at most {n} characters.", n=_MAX_VERSION), _MAX_VERSION
            ),
            "from": _day("from", say("The first day in its address is no day of the calendar; 2026-03-31 is one.")),
            "to": _day("to", say("The last day in its address is no day of the calendar; 2026-03-31 is one.")),
            "review": _choice(
                "review",
                say("Its address names a state of review that does not exist. Choose one above the list."),
                REVIEWS,
            ),
            "study": _study(),
        }
        if len(values["q"].split()) > _MAX_WORDS:
            raise _no_list(say("The file name to look for has at most {n} words.", n=_MAX_WORDS))
        if values["from"] > values["to"] > "":  # the list would be empty, whatever is stored
            raise _no_list(say("The first day is after the last one."))
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
            say("refused: {reason}", reason=REFUSALS[self.get("refusal")]) if self.get("refusal") else "",
            _REVIEW_WORDS[self.get("review") or "all"],
            say("“{text}” in the file name", text=self.get("q")) if self.get("q") else "",
            say("study {study}", study=self.get("study")) if self.get("study") else "",
            say("model {model}", model=self.get("model")) if self.get("model") else "",
            say("from {day}", day=date.fromisoformat(self.get("from"))) if self.get("from") else "",
            say("to {day}", day=date.fromisoformat(self.get("to"))) if self.get("to") else "",
        ]
        order = ORDERS[self.get("order") or "time"]
        told = [part for part in parts if part] or [say("all results")]
        listed = reduce(lambda before, part: say("{before}, {part}", before=before, part=part), told)
        return say("{listed}; {order}", listed=listed, order=order)


EVERYTHING = ListQuery({})


def _no_list(why: str) -> ApiError:
    return ApiError(400, say("There is no such list"), why)


def _choice(name: str, fault: str, choices: Mapping[str, str]) -> str:
    default = next(iter(choices))
    value = request.args.get(name) or default
    if value not in choices:
        raise _no_list(fault)
    return value


def _text(name: str, fault: str, longest: int) -> str:
    value = request.args.get(name, "").strip()
    if len(value) > longest:
        raise _no_list(fault)
    return value


def _study() -> str:
    value = request.args.get("study", "").strip()
    if value and not _STUDY.fullmatch(value):
        raise _no_list(say("Its address names no study."))
    return value


def _day(name: str, fault: str) -> str:
    value = request.args.get(name, "").strip()
    try:
        good = not value or date.fromisoformat(value).isoformat() == value
    except ValueError:
        good = False
    if not good:
        raise _no_list(fault)
    return value
