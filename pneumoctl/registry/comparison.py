"""Compare two models on the same labelled pictures: both are scored now, or read from the reports of evaluations."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.evaluation import paired, scores_file
from model.evaluation.paired import Scored
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.registry import evaluation, store
from pneumoctl.registry.evaluation import Progress
from pneumoctl.scoring.labelled import Folder


@dataclass(frozen=True)
class Side:
    """A model of a comparison; refused: how many of the pictures serving refuses, None if a report was read."""

    model: str
    scored: Scored
    refused: int | None = None


def is_report(word: str) -> bool:
    """Whether this is the folder of a report with scores, and not the name of a model."""
    return (Path(word).expanduser() / scores_file.NAME).is_file()


def read(word: str) -> Side:
    """The model whose report is in this folder. Raises PneumoError if it is damaged."""
    try:
        return Side(*scores_file.read(Path(word).expanduser()))
    except (ValueError, OSError) as error:
        raise PneumoError(str(error), "write it again: pneumoctl model evaluate MODEL DIR --report DIR") from error


def score(word: str, folder: Folder, progress: Progress) -> tuple[Side, dict[str, Any]]:
    """The scores of a model on a labelled folder, and the evaluation, which is recorded."""
    model = store.find(word)
    evaluated = evaluation.evaluate(model, folder, progress=progress)
    return Side(model.id, evaluated.scored, evaluated.entry["refused"]), evaluated.entry


def compare(first: Side, second: Side) -> dict[str, Any]:
    """The document of a comparison. Raises PneumoError (usage) if the pictures or the labels are not the same."""
    try:
        found = paired.compare(first.scored, second.scored)
    except paired.DifferentPicturesError as error:
        raise PneumoError(
            f"{first.model} and {second.model} cannot be compared: {error}",
            "score the same pictures with both: pneumoctl model compare A B DIR",
            Exit.USAGE,
        ) from error
    models = [{"model": side.model, "refused": side.refused} for side in (first, second)]
    return {"models": models, **found}
