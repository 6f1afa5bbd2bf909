"""Take uploaded files in: clean their names, score each in its turn, keep it, and sort out what failed."""

import time
import unicodedata
from contextlib import ExitStack
from dataclasses import dataclass, field

from werkzeug.datastructures import FileStorage

from webapp.api.problems import RETRY_AFTER, Problem, problem
from webapp.api.services import Services
from webapp.api.store import Record
from webapp.gate import Busy

MOST_FILES = 20
_LONGEST_NAME = 120  # characters


@dataclass
class Outcome:
    """Predictions that are stored, and one entry {"file", "position", "error"} for each file that failed."""

    predictions: list[dict] = field(default_factory=list)
    errors: list[dict] = field(default_factory=list)
    worst: Problem | None = None


def clean(name: str | None) -> str:
    """A file name to show: without folders, control and formatting characters, at most 120 long.

    Formatting characters go because some reverse the writing direction and disguise a name. A long name keeps
    its end, where the number and the ending are.
    """
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    kept = "".join(" " if char.isspace() else char for char in unicodedata.normalize("NFC", last))
    kept = "".join(char for char in kept if not unicodedata.category(char).startswith("C"))
    return " ".join(kept.split())[-_LONGEST_NAME:].strip() or "unnamed"


def chosen(files: list[FileStorage]) -> list[FileStorage]:
    """The files that were really chosen; an empty form field sends one without name and content."""
    kept = [file for file in files if file.filename]
    if not kept:
        raise Problem(400, "no-file", 'Send one or more files in the multipart field "file".')
    if len(kept) > MOST_FILES:
        raise Problem(413, "too-many-files", f"At most {MOST_FILES} files are taken at once; {len(kept)} came.")
    return kept


def take(services: Services, files: list[FileStorage], listed: bool = True) -> Outcome:
    """Score and keep each file; one that fails does not fail the others.

    No file is begun after the settings' answer_seconds: the sender would no longer be there to read of it.
    """
    outcome = Outcome()
    deadline = time.monotonic() + services.settings.answer_seconds
    for position, file in enumerate(files):
        name = clean(file.filename)
        try:
            outcome.predictions.append(_one(services, file, name, deadline, listed))
        except Exception as error:
            found = problem(error)
            outcome.errors.append({"file": name, "position": position, "error": found.as_dict()})
            outcome.worst = max(outcome.worst or found, found, key=lambda each: each.status)
            services.metrics.came_out("error", services.scorer.version)
    return outcome


def _one(services: Services, file: FileStorage, name: str, deadline: float, listed: bool) -> dict:
    metrics = services.metrics
    left = deadline - time.monotonic()
    if left <= 0:
        raise Busy(RETRY_AFTER)
    with ExitStack() as held:
        with metrics.stage("wait"):
            held.enter_context(services.turns.held(min(left, services.settings.patience)))
        with metrics.stage("score"):  # the file is read only now: of all that wait none holds it in memory
            scored = services.scorer.score(file.stream.read(), name)
    picture = scored.picture
    record = Record(scored.document, picture.as_dict() if picture else None)
    with metrics.stage("store"):
        document = services.store.put(record, picture.content if picture else None, listed).prediction
    metrics.came_out("refused" if document["refusal"] else document["finding"], document["model"]["version"])
    return document
