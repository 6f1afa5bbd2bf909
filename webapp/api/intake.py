"""Process an upload: clean the file names, score and store one file after another, and collect the errors."""

import hashlib
import time
import unicodedata
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from werkzeug.datastructures import FileStorage

from model.serving.prediction import Prediction
from webapp.api import recording, sources
from webapp.api.problems import RETRY_AFTER, Problem, problem
from webapp.api.services import Services
from webapp.api.storage.records import FileSource, Record
from webapp.api.storage.trail import Act
from webapp.concurrency import Busy
from webapp.documents import FileError, Source

MAX_FILES = 20
MAX_NAME = 120  # characters
MAX_FOLDER = 240  # characters


@dataclass
class Outcome:
    """Stored predictions with their sources, an entry for each file that failed, and the worst failure by status."""

    predictions: list[Prediction] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    errors: list[FileError] = field(default_factory=list)
    worst: Problem | None = None


def clean_name(name: str | None) -> str:
    """A file name that is safe to show: no folders, no control or formatting characters, at most MAX_NAME long.

    Some formatting characters reverse the writing direction and could disguise a name. A long name keeps its end,
    which has the number and the extension.
    """
    return _clean((name or "").replace("\\", "/").rpartition("/")[2])[-MAX_NAME:].strip() or "unnamed"


def clean_folder(name: str | None) -> str:
    """The folder in a file name, as safe to show as `clean_name`; empty if there is none.

    A long one keeps its end, which is nearest to the file.
    """
    parts = [_clean(part) for part in (name or "").replace("\\", "/").split("/")[:-1]]
    whole = "/".join(part for part in parts if part not in ("", ".", ".."))
    return whole[-MAX_FOLDER:].strip(" /")


def _clean(text: str) -> str:
    spaced = "".join(" " if char.isspace() else char for char in unicodedata.normalize("NFC", text))
    printable = "".join(char for char in spaced if not unicodedata.category(char).startswith("C"))
    return " ".join(printable.split())


def selected(files: list[FileStorage]) -> list[FileStorage]:
    """The files that have a name; a browser sends an empty form field as a file without name and content."""
    named = [file for file in files if file.filename]
    if not named:
        raise Problem(400, "no-file", 'Send one or more files in the multipart field "file".')
    if len(named) > MAX_FILES:
        raise Problem(
            413, "too-many-files", f"At most {MAX_FILES} files are accepted per request; {len(named)} were sent."
        )
    return named


def process(services: Services, files: list[FileStorage], listed: bool = True) -> Outcome:
    """Score and store each file; a file that fails does not stop the others.

    After the settings' `answer_seconds` no further file is started: the client would have given up by then.
    """
    outcome = Outcome()
    recorded = partial(recording.act, "upload") if listed else None
    deadline = time.monotonic() + services.settings.answer_seconds
    for position, file in enumerate(files):
        name = clean_name(file.filename)
        try:
            record, source = process_file(services, file, name, deadline, recorded)
            outcome.predictions.append(record.prediction)
            outcome.sources.append(source)
        except Exception as error:
            failure = problem(error)
            outcome.errors.append({"file": name, "position": position, "error": failure.document()})
            outcome.worst = max(outcome.worst or failure, failure, key=lambda each: each.status)
            services.metrics.file_finished("error", services.scorer.version)
    return outcome


def process_file(
    services: Services, file: FileStorage, name: str, deadline: float, recorded: Callable[[str], Act] | None
) -> tuple[Record, Source]:
    """Score and store one file, of a person or received; raises Busy if no slot is free by the `deadline`.

    recorded: the act for the trail, by the id of the result; None for a probe, which is neither listed nor recorded.
    """
    listed, metrics = recorded is not None, services.metrics
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise Busy(RETRY_AFTER)
    with ExitStack() as stack:
        with metrics.stage("wait"):
            stack.enter_context(services.scoring.slot(min(remaining, services.settings.max_wait)))
        with metrics.stage("score"):  # read only now: files that wait for a slot are not in memory
            content = file.stream.read()
            scored = services.scorer.score(content, name, services.settings.film_bytes)
            digest = hashlib.sha256(content).hexdigest()
            del content  # it may be large, and others wait for memory
    preview, film = scored.preview, scored.film
    with metrics.stage("store"):
        study = None if scored.study_uid is None else services.pseudonyms.of_study(scored.study_uid)
        source: FileSource = {"folder": clean_folder(file.filename), "study": study, "sha256": digest}
        record = Record(scored.document, preview and preview.as_dict(), film and film.as_dict(), source)
        stored = services.store.put(record, preview and preview.content, listed, film and film.content, recorded)
    document = stored.prediction
    if listed:
        metrics.assessed(document)
    metrics.file_finished("refused" if document["refusal"] else document["finding"], document["model"]["version"])
    # A probe is in no list, and asks for none.
    return stored, sources.of(services, stored, digest if listed else None, new=stored is record)
