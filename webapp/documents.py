"""The API's JSON documents beside the prediction: the API builds, OpenAPI publishes, and the page checks them."""

from typing import Annotated, Literal, NotRequired, TypedDict, get_args

from model.serving.prediction import DateTime, Identifier, OutsideUse, Prediction

Label = Literal["pneumonia", "no pneumonia", "unsure"]
LABELS: tuple[Label, ...] = get_args(Label)
MAX_COMMENT = 500  # characters
MAX_SENT_NAME = 4096  # characters: more than a file system allows
Study = Annotated[str, ("pattern", "^[A-Z2-7]{12}$")]
_Count = Annotated[int, ("minimum", 0)]


class Problem(TypedDict):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str


class FileError(TypedDict):
    """An uploaded file without a result, at its position in the upload."""

    file: str
    position: _Count
    error: Problem


class SameFile(TypedDict):
    """A stored prediction of a file with the same bytes. folder: see Source."""

    id: Identifier
    file: Annotated[str, ("minLength", 1)]
    folder: str
    created: DateTime


class Source(TypedDict):
    """Where a file came from.

    folder: the folder that it was first sent from, relative to what was chosen; empty: none was sent.
    study: a keyed pseudonym of the Study Instance UID of a DICOM file; null: the file states none.
    same: other stored predictions of the same bytes, oldest first, at most 5; of an upload, those that were stored
    before it, which may be the prediction itself. null: not known, as the API has just started.
    """

    folder: str
    study: Study | None
    same: Annotated[list[SameFile], ("maxItems", 5)] | None


class Created(TypedDict):
    """The answer to an upload if every file has a finding or a refusal. `sources`: one for each prediction."""

    predictions: Annotated[list[Prediction], ("minItems", 1)]
    sources: Annotated[list[Source], ("minItems", 1)]


class PartlyCreated(TypedDict):
    """The answer to an upload if some files have neither a finding nor a refusal."""

    predictions: Annotated[list[Prediction], ("minItems", 1)]
    sources: Annotated[list[Source], ("minItems", 1)]
    errors: Annotated[list[FileError], ("minItems", 1)]


class SentFile(TypedDict):
    """A file whose prediction is looked for: the SHA-256 of its content (hexadecimal), and its name as it was sent."""

    sha256: Annotated[str, ("pattern", "^[0-9a-f]{64}$")]
    file: Annotated[str, ("maxLength", MAX_SENT_NAME)]


class DamagedRecord(TypedDict):
    """A stored record that cannot be shown."""

    id: str
    error: Problem


class Entry(TypedDict):
    """What a list shows beside a prediction: whether a picture is stored, and the review that counts; null: unread.

    The newest one that is not withdrawn counts.
    review_damaged: a review or a withdrawal cannot be read, so that the one that counts is not known.
    disagrees: the review that counts contradicts the finding.
    folder, study: see Source.
    reviewer: who made it; null: not recorded. Only told for an export, with the header X-Pneumo-Export.
    """

    picture: bool
    review: Label | None
    review_damaged: bool
    disagrees: bool
    folder: str
    study: Study | None
    reviewer: NotRequired[str | None]


class Page(TypedDict):
    """A page of a list, with an entry for each prediction, the cursor of the next page, and the size of the list.

    total: predictions and damaged records in the list. first: the number of the page's first one, from 1; null if the
    page is empty, or if it is not known while the API has just started.
    models: the versions of the models of all stored predictions.
    """

    predictions: list[Prediction]
    entries: list[Entry]
    damaged: list[DamagedRecord]
    next: str | None
    total: _Count
    first: Annotated[int, ("minimum", 1)] | None
    models: list[str]


class Position(TypedDict):
    """The last change of the store: another text after a prediction was added, reviewed or erased."""

    position: str


class Place(TypedDict):
    """Where a prediction stands in a list: its number from 1; null if the list does not have it.

    first, previous, next: ids of predictions in the list. If the list does not have the prediction, previous and next
    are those of the place where it would stand.
    """

    number: Annotated[int, ("minimum", 1)] | None
    total: _Count
    first: Identifier | None
    previous: Identifier | None
    next: Identifier | None


class Availability(TypedDict):
    """Whether a picture can be shown; if not, why: a code for programs, and words for people."""

    available: bool
    code: str | None
    reason: str | None


class Pictures(TypedDict):
    """What can be shown beside a result."""

    picture: Availability
    heatmap: Availability


class NewFeedback(TypedDict):
    """A person's opinion, as sent."""

    label: Label
    comment: NotRequired[Annotated[str, ("maxLength", MAX_COMMENT)]]


class StoredReview(TypedDict):
    """A person's opinion, as stored.

    who: the name of the user, or token:NAME of a client program. number: greater than those of all entries that the
    result had before, whatever the clock said. Entries of earlier versions have neither.
    """

    prediction: Identifier
    label: Label
    comment: str
    created: DateTime
    who: NotRequired[str | None]
    number: NotRequired[int]


class Withdrawal(TypedDict):
    """The withdrawal of a review, by its id, as stored: the review stays beside it."""

    prediction: Identifier
    withdraws: Identifier
    created: DateTime
    who: NotRequired[str | None]
    number: NotRequired[int]


class Feedback(TypedDict):
    """A person's opinion, with its id, and when it was withdrawn; null: it was not.

    who: the name of the user, or token:NAME of a client program; null: not recorded.
    The newest one that is not withdrawn counts in lists.
    """

    prediction: Identifier
    label: Label
    comment: str
    created: DateTime
    who: str | None
    id: Identifier
    withdrawn: DateTime | None


class FeedbackList(TypedDict):
    """The feedback on a prediction, oldest first, and how many entries are damaged and left out."""

    feedback: list[Feedback]
    damaged: _Count


class FailedFilm(TypedDict):
    """A received film without a result: when it was given up, and why; `code` is for programs."""

    id: str
    file: str
    failed: str
    code: str
    reason: str


class ReceivedFilms(TypedDict):
    """Films that arrived by DICOM: how many wait to be scored, since when (seconds), and the newest that failed.

    oldest_s: null if none waits.
    """

    waiting: _Count
    oldest_s: Annotated[float, ("minimum", 0)] | None
    failed: list[FailedFilm]
    failed_total: _Count


ActName = Literal[
    "login", "logout", "view", "upload", "review", "withdrawal", "export", "import", "erase", "account", "unrecorded"
]
ActorKind = Literal["user", "token", "stack", "operator"]
Outcome = Literal["begun", "done", "unchanged", "refused"]


class TrailEntry(TypedDict):
    """An act in the trail. kind: operator is who uses pneumoctl, by the header X-Pneumo-Operator of requests with the
    stack's own token; stack is the page of a stack without users, or pneumoctl without that header.

    id: random. request: the id of the request. subject: the id of a prediction, or the name of an account. previous:
    the hash of the entry before; empty in the first one. An entry `unrecorded` says that acts before it are missing.
    """

    n: Annotated[int, ("minimum", 1)]
    id: str
    time: DateTime
    act: ActName
    actor: str
    kind: ActorKind
    role: str
    request: str
    subject: str | None
    outcome: Outcome
    detail: str
    previous: str


class TrailItem(TypedDict):
    """An entry of the trail as it is stored: the MAC in 64 hexadecimal digits, then the entry as JSON.

    hash: the SHA-256 of that JSON. entry: null if it is not as it was sealed.
    """

    n: Annotated[int, ("minimum", 1)]
    hash: str
    sealed: str
    entry: TrailEntry | None


class TrailHead(TypedDict):
    """The number and the hash of the last entry of the trail; 0 and empty if there is none."""

    n: _Count
    hash: str


class TrailPage(TypedDict):
    """A part of the trail, and the number after which the next one begins; null: this is the last."""

    entries: list[TrailItem]
    next: int | None
    head: TrailHead


class Check(TypedDict):
    """A readiness check. `warning`: what will become a fault, and has not yet kept the API from its work.

    lasting: whether a fault stays until somebody does something about it.
    """

    ok: bool
    fault: str | None
    lasting: NotRequired[bool]
    warning: NotRequired[str | None]
    version: NotRequired[str]
    outside_use: NotRequired[OutsideUse]


class Checks(TypedDict):
    """The readiness checks by name. That of the clock only warns, if results expire; that of received films, too."""

    store: Check
    clock: NotRequired[Check]
    received: NotRequired[Check]
    known_picture: Check
    model: Check


class Readiness(TypedDict):
    """Whether the API can do its work."""

    status: Literal["ready", "not ready"]
    checks: Checks
