"""Write a report beside each prediction that a run yields: a file that cannot be written is said, with its reason."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from model.serving.predict import identity
from model.serving.prediction import Prediction, Scoring
from pneumoctl.errors import PneumoError
from pneumoctl.scoring.find_files import STDIN
from pneumoctl.scoring.score import FileResult, attempt, read


def written(
    outcomes: Iterable[FileResult], wanted: Callable[[Prediction], bool], write: Callable[[str, Prediction], None]
) -> Iterator[FileResult]:
    """Each outcome, after its report was written if it is `wanted`; if it could not be, it says so and why.

    An error gets no report: there is nothing that the model assessed.
    """
    for outcome in outcomes:
        document = outcome.document
        if document is None or not wanted(document):
            yield outcome
            continue
        _, error = attempt(lambda file=outcome.file, found=document: write(file, found))  # type: ignore[misc]
        missing = [outcome.unwritten, error and f"no report was written: {error}"]
        yield replace(outcome, unwritten="; ".join(filter(None, missing)) or None)


def content_of(file: str, document: Prediction, scoring: Scoring) -> bytes:
    """The bytes that a prediction was made from. Raises PneumoError if they cannot be read again."""
    if file == STDIN:
        raise PneumoError("standard input cannot be read again: name the file")
    content = read(file)
    if identity(sha256(content).hexdigest(), file, scoring) != document["id"]:
        raise PneumoError("the file was changed after it was scored")
    return content


def make_folder(folder: Path, option: str) -> None:
    """Make the folder of the reports, for its owner alone. Raises PneumoError. `option`: as the user gave it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise PneumoError(f"{folder}: {error.strerror}", f"name a folder that can be written: {option} DIR") from error
