"""What is stored: records and reviews, and pages of them."""

import re
from dataclasses import dataclass, field
from typing import Any, TypedDict

from model.schema import Invalid
from model.serving.prediction import Prediction, checked_prediction, current
from webapp.api.storage import listing
from webapp.documents import LABELS, Label, StoredReview, Withdrawal

STUDY = re.compile("[A-Z2-7]{12}")
_DIGEST = re.compile("[0-9a-f]{64}")
ReviewEntry = StoredReview | Withdrawal


class FileSource(TypedDict):
    """Where the file of a record came from, and the SHA-256 of its bytes (hexadecimal); see webapp.documents.Source."""

    folder: str
    study: str | None
    sha256: str


@dataclass(frozen=True)
class Record:
    """A stored prediction, and the sha256, width and height of the picture stored with it, if any.

    film: the sha256 of the 16-bit film stored with it, if any. source: None if an earlier version stored the record;
    such a record has no film, either.
    """

    prediction: Prediction
    image: dict | None
    film: dict | None = None
    source: FileSource | None = None

    @property
    def id(self) -> str:
        """32 hexadecimal digits."""
        return self.prediction["id"]


def record_of(identifier: str, stored: Any) -> Record:
    """The record in what was stored under that id; raises Invalid if it cannot be listed.

    A field that is not known is left alone, because a later version may have stored it. What is shown is checked in
    every field: see require_valid.
    """
    match stored:
        case {
            "prediction": {
                "id": found,
                "file": str(),
                "created": str(),
                "finding": None | "pneumonia" | "no pneumonia",
                "probability": None | int() | float(),
                "refusal": None | {"code": str()},
                "model": {"version": str()},
            } as prediction,
            "image": None | {"sha256": str()} as image,
        } if found == identifier and _describes_film(film := stored.get("film")):
            source = source_of(stored.get("source"))
            try:
                listing.member("probability", prediction)
            except (ValueError, OverflowError) as error:  # of the time or the probability
                raise Invalid("the stored record cannot be listed") from error
            return Record(current(prediction), image, film, source)
    raise Invalid("the stored record is not one of this result")


def source_of(stored: Any) -> FileSource | None:
    """The source in what was stored; raises Invalid if it is none."""
    match stored:
        case None:
            return None
        case {"folder": str(folder), "study": None | str() as study, "sha256": str(digest)} if (
            study is None or STUDY.fullmatch(study)
        ) and _DIGEST.fullmatch(digest):
            return {"folder": folder, "study": study, "sha256": digest}
    raise Invalid("the stored source is none")


def _describes_film(film: Any) -> bool:
    return film is None or (isinstance(film, dict) and isinstance(film.get("sha256"), str))


def require_valid(record: Record) -> None:
    """Raise Invalid unless the prediction is valid in every field."""
    checked_prediction(record.prediction)


def review_entry_of(stored: Any) -> ReviewEntry:
    """The review, or the withdrawal of one, in what was stored; raises Invalid if its label or its time is none."""
    match stored:
        case {"label": label} if label in LABELS and isinstance(stored.get("created", ""), str) and _ordered(stored):
            return stored
        case {"withdraws": str(), "created": str()} if _ordered(stored):
            return stored
    raise Invalid("the stored review is none")


def _ordered(stored: dict[str, Any]) -> bool:
    return type(stored.get("number", 1)) is int and isinstance(stored.get("who"), str | None)


@dataclass(frozen=True)
class Review:
    """The review of a result that counts: the last one that is not withdrawn; `label` is None if there is none.

    damaged: a review or a withdrawal cannot be read, so that nobody knows which one counts. who: None if not recorded.
    """

    label: Label | None
    damaged: bool = False
    who: str | None = None

    def disagrees(self, prediction: Prediction) -> bool:
        """Whether the reader found something else than the model. Unsure is no disagreement."""
        return prediction["finding"] is not None and self.label not in (None, "unsure", prediction["finding"])


@dataclass(frozen=True)
class Page:
    """Records in order with their reviews, the ids of damaged records, the cursor of the next page, and the total.

    first: the number of the page's first result in the list, from 1. models: the versions that have results.
    """

    records: list[Record]
    damaged: list[str]
    next: str | None
    total: int
    reviews: list[Review] = field(default_factory=list)
    first: int | None = None
    models: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Where a result stands in a list: its number from 1, or None if the list does not have it, and its neighbours.

    first, previous, next: ids of intact results. Of a result that the list does not have, the neighbours are those of
    the place where it would stand.
    """

    number: int | None
    total: int
    first: str | None
    previous: str | None
    next: str | None
