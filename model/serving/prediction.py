"""The prediction document: what the classifier returns, the API stores and publishes, and every reader checks."""

from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, TypedDict, get_args

from model.operating_points_section import DEFAULT_POINT, PointName, Rates
from model.operating_points_section import Interval as Interval
from model.schema import Invalid, checked

Identifier = Annotated[str, ("pattern", "^[0-9a-f]{32}$")]
Text = Annotated[str, ("minLength", 1)]
DateTime = Annotated[str, ("format", "date-time")]
FindingLabel = Literal["pneumonia", "no pneumonia"]
RefusalCode = Literal[
    "unreadable",
    "too_small",
    "too_large",
    "multiple_frames",
    "not_an_xray",
    "not_a_chest",
    "outside_intended_use",
]
CautionCode = Literal[
    "age_outside",
    "age_unknown",
    "training_ages_unknown",
    "unlike_training",
    "view_ap",
    "view_pa",
    "low_resolution",
    "too_dark",
    "too_bright",
    "low_contrast",
    "high_contrast",
    "clipped_black",
    "clipped_white",
    "threshold_by_hand",
    "not_checked",
]
# What happens to a picture that is known to be outside the intended use of the model.
OutsideUse = Literal["refuse", "score"]
OUTSIDE_USE: tuple[OutsideUse, ...] = get_args(OutsideUse)
# Of the document; 2 added cautions and operating_point. It is part of each id: a picture that was scored in an earlier
# format is scored again when it is sent again.
FORMAT = 2


class Model(TypedDict):
    """The bundle that scored the picture."""

    name: Text
    version: Text


class Input(TypedDict):
    """The decoded file; width and height in pixels."""

    format: Literal["PNG", "JPEG", "DICOM"]
    width: Annotated[int, ("minimum", 1)]
    height: Annotated[int, ("minimum", 1)]


class Reason(TypedDict):
    """Why a picture must not be scored: a code for programs, a reason for people."""

    code: RefusalCode
    reason: Text


class Caution(TypedDict):
    """A reason to trust a score less: a code for programs, a sentence for people."""

    code: CautionCode
    sentence: Text


class OperatingPoint(TypedDict):
    """A named threshold of the model and what was measured there, where it was measured."""

    name: PointName
    validation: Rates | None
    test: Rates | None


class _Scored(TypedDict):
    id: Identifier
    file: Text
    threshold: Annotated[
        float,
        ("exclusiveMinimum", 0),
        ("exclusiveMaximum", 1),
        ("description", "The finding is pneumonia if the probability is at least this."),
    ]
    operating_point: Annotated[
        OperatingPoint | None,
        ("description", "Where the threshold is from; null if it was given by hand, or scored by an earlier version."),
    ]
    cautions: Annotated[
        list[Caution],
        ("description", "Why the score may mean less than the model's figures say; empty for a refusal."),
    ]
    model: Model
    created: DateTime
    elapsed_ms: Annotated[float, ("minimum", 0)]


class Finding(_Scored):
    """A picture that was scored."""

    finding: FindingLabel
    refusal: None
    probability: Annotated[
        float, ("minimum", 0), ("maximum", 1), ("description", "Calibrated P(pneumonia), whatever the finding.")
    ]
    input: Input


class Refusal(_Scored):
    """A picture that must not be scored; `input` is null if it could not be decoded."""

    finding: None
    refusal: Reason
    probability: None
    input: Input | None


Prediction: TypeAlias = Finding | Refusal


class Choices(NamedTuple):
    """What a user chooses about scoring; without a name or a threshold, the operating point is DEFAULT_POINT.

    outside_use: "refuse" pictures that are known to be outside the intended use, or "score" them with a caution.
    """

    outside_use: OutsideUse = "refuse"
    operating_point: str | None = None
    threshold: float | None = None


class Scoring(NamedTuple):
    """What a prediction depends on beside its picture: the version of the model, and settings.

    `other_threshold`: the threshold if it is not that of DEFAULT_POINT.
    """

    version: str
    outside_use: OutsideUse = "refuse"
    other_threshold: float | None = None

    def made(self, document: Prediction) -> bool:
        """Whether a document was made in this way: if not, its picture must be scored again."""
        codes = {caution["code"] for caution in document["cautions"]}
        refused = document["refusal"] is not None and document["refusal"]["code"] == "outside_intended_use"
        other = refused if self.outside_use == "score" else "age_outside" in codes
        same = document["model"]["version"] == self.version and _other_threshold(document) == self.other_threshold
        return same and not other and "not_checked" not in codes


def _other_threshold(document: Prediction) -> float | None:
    point = document["operating_point"]
    return None if point is not None and point["name"] == DEFAULT_POINT else document["threshold"]


_NOT_CHECKED: Caution = {
    "code": "not_checked",
    "sentence": "An earlier version of this program scored the picture: it did not check the intended use.",
}


def current(document: Any) -> Any:
    """A document that an earlier version of this program made, with the fields that it lacks; not checked.

    It gets a caution that says so: nobody looked for any. It names no operating point. Any other value is unchanged.
    """
    if not isinstance(document, dict) or "cautions" in document or "operating_point" in document:
        return document
    missing = [_NOT_CHECKED] if document.get("finding") is not None else []
    return {"operating_point": None, "cautions": missing, **document}


def checked_prediction(value: Any) -> Prediction:
    """A prediction document from outside, if it is valid in every field; otherwise raises Invalid."""
    refused = isinstance(value, dict) and value.get("refusal") is not None
    document: Prediction = checked(value, Refusal if refused else Finding)
    if document["refusal"] is None:
        positive = document["probability"] >= document["threshold"]
        if document["finding"] != ("pneumonia" if positive else "no pneumonia"):
            raise Invalid("document.finding contradicts the probability and the threshold")
    return document
