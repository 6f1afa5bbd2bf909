"""A labelled folder: find its pictures, score each once through a stack's API, compare the findings with the labels."""

import hashlib
import shlex
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.evaluation.metrics import evaluate
from model.images.limits import SUFFIXES
from model.serving.predict import identity
from model.serving.prediction import Finding, Prediction
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.scoring import find_files
from pneumoctl.scoring.api_client import ApiClient
from pneumoctl.scoring.score import FileResult
from pneumoctl.terminal.report import counted

CLASSES = ("NORMAL", "PNEUMONIA")  # names of the folders; the index is the label
_LABELLED = f"name a folder that contains {' and '.join(CLASSES)}; to download one: pneumoctl data fetch kermany"
_NAME_DIGITS = 16  # of the content's hash


@dataclass(frozen=True)
class Folder:
    """Pictures by their paths, and the label of each: 0 normal, 1 pneumonia."""

    directory: Path
    labels: dict[str, int]


def find(directory: Path | None, data_root: str | None, command: str) -> Folder:
    """The folder at `directory`, or the test split below `data_root` ($PNEUMO_DATA).

    `command`: what to type before a folder, for hints. Raises PneumoError (usage) if there is no labelled folder.
    """
    directory = directory or _test_split(data_root, command)
    if not directory.is_dir():
        raise PneumoError(f"there is no folder {directory}", _LABELLED, Exit.USAGE)
    if not _is_labelled(directory):
        has_test_split = _is_labelled(directory / "test")
        hint = f"{command} {shlex.quote(str(directory / 'test'))}" if has_test_split else _LABELLED
        raise PneumoError(f"{directory} has no folders {' and '.join(CLASSES)}", hint, Exit.USAGE)
    found = [find_files.find([str(directory / name)]) for name in CLASSES]
    for folder in (folder for listed in found for folder in listed.unlisted):  # figures would lack its pictures
        raise PneumoError(f"{folder}: it cannot be listed", "make it readable, or remove it", Exit.PARTLY)
    return Folder(directory, {file: label for label, listed in enumerate(found) for file in listed.files})


def _test_split(data_root: str | None, command: str) -> Path:
    if not data_root:
        wanted = f"a folder that contains {' and '.join(CLASSES)}"
        message = f"no pictures given: name {wanted}, or set PNEUMO_DATA to a data set with a test split"
        raise PneumoError(message, f"{command} DIR (a data set: pneumoctl data fetch kermany)", Exit.USAGE)
    root = Path(data_root)
    splits = [folder for folder in (root / "test", *sorted(root.glob("*/test"))) if _is_labelled(folder)]
    if len(splits) != 1:
        count = f"{len(splits)} test splits: {', '.join(map(str, splits))}" if splits else "no test split"
        raise PneumoError(f"PNEUMO_DATA={data_root} has {count}", f"{command} DIR", Exit.USAGE)
    return splits[0]


def _is_labelled(directory: Path) -> bool:
    return all((directory / name).is_dir() for name in CLASSES)


class Poster:
    """Scores pictures through a stack's API, under names that reveal nothing about a patient.

    A prediction that the API has stored already is read, not posted again: a second run, or one after a kill, posts
    only what is missing. `before_first_post` is called once.
    """

    def __init__(self, api: ApiClient, before_first_post: Callable[[], None]) -> None:
        self.posted = 0
        self._api, self._scoring, self._before_first_post = api, api.scoring(), before_first_post
        self._lock = threading.Lock()

    def score(self, content: bytes, file: str) -> Prediction:
        """The prediction document of one picture, as the stack has stored it."""
        name = anonymous_name(content, file)
        stored = self._api.stored(identity(hashlib.sha256(content).hexdigest(), name, self._scoring))
        if stored is not None:
            return stored
        with self._lock:
            if not self.posted:
                self._before_first_post()
            self.posted += 1
        return self._api.score(content, name)


def anonymous_name(content: bytes, file: str) -> str:
    """The name that the web page shows: digits of the content's hash and the suffix of the file."""
    suffix = Path(file).suffix.lower()
    return hashlib.sha256(content).hexdigest()[:_NAME_DIGITS] + (suffix if suffix in SUFFIXES else "")


def summarize(outcomes: Iterable[FileResult], labels: dict[str, int]) -> dict[str, Any]:
    """The result for a whole folder: counts, and figures with 95 % intervals, None if no picture was scored."""
    outcomes = list(outcomes)
    documents = [(outcome.document, labels[outcome.file]) for outcome in outcomes if outcome.document]
    scored = [(document, label) for document, label in documents if document["refusal"] is None]
    models = {document["model"]["version"]: document["model"] for document, _ in documents}
    if len(models) > 1:
        message = f"the stack's model changed during the run: {' and '.join(sorted(models))}"
        raise PneumoError(message, "run the same command again: it resumes")
    return {
        "pictures": len(outcomes),
        "scored": len(scored),
        "refused": len(documents) - len(scored),
        "errors": [{"file": outcome.file, "message": outcome.error} for outcome in outcomes if outcome.error],
        "model": next(iter(models.values()), None),
        "figures": _figures(scored) if scored else None,
    }


def count_line(pictures: int, refused: int, errors: int = 0) -> str:
    """How many pictures there are, and what became of them."""
    scored = pictures - refused - errors
    line = f"{counted(pictures, 'picture')}: {scored} scored, {refused} refused, {counted(errors, 'error')}"
    return f"{line}; the figures are of the scored pictures" if refused else line


def _figures(scored: Sequence[tuple[Finding, int]]) -> dict[str, Any]:
    labels = [label for _, label in scored]
    probabilities = [document["probability"] for document, _ in scored]
    figures = evaluate(labels, probabilities, float(scored[0][0]["threshold"]))
    names = ("n", "positives", "negatives", "threshold", "sensitivity", "specificity", "auc", "confusion")
    return {name: figures[name] for name in names}


def exit_code(document: dict[str, Any]) -> Exit:
    """1 if every picture was an error, 6 if a picture was not scored, else 0."""
    if len(document["errors"]) == document["pictures"]:
        return Exit.FAILED
    return Exit.PARTLY if document["errors"] or document["refused"] else Exit.DONE
