"""What is stored: records and pages of them, and the errors of the store."""

from dataclasses import dataclass

from model.serving.prediction import Prediction


class StoreUnavailable(Exception):
    """Redis does not answer, rejects the login, is full, or cannot write; the message is the kind of error only."""


class Missing(Exception):
    """Nothing is stored under that id."""


class Damaged(Exception):
    """The stored bytes were changed; the message is their key."""


class FeedbackFull(Exception):
    """A prediction has the maximum number of feedback entries."""


@dataclass(frozen=True)
class Record:
    """A stored prediction, and the sha256, width and height of the picture stored with it, if any."""

    prediction: Prediction
    image: dict | None

    @property
    def id(self) -> str:
        """32 hexadecimal digits."""
        return self.prediction["id"]


@dataclass(frozen=True)
class Page:
    """Records in order, the ids of damaged records, the cursor of the next page, and the total number of records."""

    records: list[Record]
    damaged: list[str]
    next: str | None
    total: int
