"""What is stored: records, and pages of them."""

from dataclasses import dataclass

from model.serving.prediction import Prediction


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
