"""Check what the API answers, field by field: what is not exactly a finding or a refusal is an error."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

FINDINGS = ("pneumonia", "no pneumonia")
IDENTIFIER = re.compile(r"[0-9a-f]{32}")
_FIELDS = {
    "id", "file", "finding", "refusal", "probability", "threshold", "model", "input", "created", "elapsed_ms",
}  # fmt: skip


class AnswerInvalid(Exception):
    """The API's answer is not what it promises; the message says which part, and repeats no content."""


@dataclass(frozen=True)
class Failure:
    """A file, or a record, for which there is no result: its name (or id) and why."""

    name: str
    detail: str


@dataclass(frozen=True)
class Scored:
    """The answer to an upload, whole: predictions that are stored, and files that failed."""

    predictions: list[dict]
    failures: list[Failure]


@dataclass(frozen=True)
class Listed:
    """A page of the list."""

    predictions: list[dict]
    damaged: list[Failure]
    next: str | None
    total: int


def prediction(value: object, identifier: str | None = None) -> dict:
    """A prediction document, exactly as promised, of that id if one is given."""
    document = _object(value, "prediction")
    _demand(set(document) == _FIELDS, "fields")
    _demand(isinstance(document["id"], str) and IDENTIFIER.fullmatch(document["id"]) is not None, "id")
    _demand(identifier is None or document["id"] == identifier, "id of another prediction")
    _demand(isinstance(document["file"], str) and bool(document["file"]), "file")
    _demand(_moment(document["created"]), "created")
    model = _object(document["model"], "model")
    _demand(all(isinstance(model.get(name), str) and model[name] for name in ("name", "version")), "model")
    _demand(_share(document["threshold"]), "threshold")
    _demand(_finite(document["elapsed_ms"]), "elapsed_ms")
    _outcome(document)
    return document


def _outcome(document: dict) -> None:
    """Finding with a probability on its side of the threshold, or refusal with neither; nothing else."""
    finding, refusal, probability = document["finding"], document["refusal"], document["probability"]
    _demand((finding is None) != (refusal is None), "finding and refusal")
    if refusal is not None:
        parts = _object(refusal, "refusal")
        _demand(all(isinstance(parts.get(name), str) and parts[name] for name in ("code", "reason")), "refusal")
        _demand(probability is None, "probability of a refusal")
        return
    _demand(finding in FINDINGS, "finding")
    _demand(_share(probability), "probability")
    _demand((finding == "pneumonia") == (probability >= document["threshold"]), "finding against its probability")
    size = _object(document["input"], "input")
    _demand(all(_finite(size.get(name)) for name in ("width", "height")), "input")


def scored(value: object, sent: int) -> Scored:
    """The answer to an upload of `sent` files: each must be accounted for, all by one model."""
    answer = _object(value, "answer")
    predictions = _every(answer.get("predictions"), "predictions", prediction)
    failures = _every(answer.get("errors", []), "errors", _failure)
    _demand(len(predictions) + len(failures) == sent, "number of results")
    _demand(len({(each["model"]["name"], each["model"]["version"]) for each in predictions}) <= 1, "models")
    return Scored(predictions, failures)


def listed(value: object) -> Listed:
    """A page of the list."""
    answer = _object(value, "list")
    following, total = answer.get("next"), answer.get("total")
    _demand(following is None or isinstance(following, str), "next")
    _demand(isinstance(total, int) and not isinstance(total, bool) and total >= 0, "total")
    return Listed(
        predictions=_every(answer.get("predictions"), "predictions", prediction),
        damaged=_every(answer.get("damaged"), "damaged", _damaged),
        next=following,
        total=total,
    )


def feedback(value: object) -> list[dict]:
    """What people said of a prediction."""
    return _every(_object(value, "feedback").get("feedback"), "feedback", _said)


def _said(value: object) -> dict:
    said = _object(value, "feedback")
    _demand(all(isinstance(said.get(name), str) for name in ("label", "comment", "created")), "feedback")
    return said


def _failure(value: object) -> Failure:
    entry = _object(value, "error")
    file, error = entry.get("file"), _object(entry.get("error"), "error")
    _demand(isinstance(file, str) and isinstance(error.get("detail"), str), "error")
    return Failure(file, error["detail"])


def _damaged(value: object) -> Failure:
    entry = _object(value, "damaged")
    identifier, error = entry.get("id"), _object(entry.get("error"), "error")
    _demand(isinstance(identifier, str) and isinstance(error.get("detail"), str), "damaged")
    return Failure(identifier, error["detail"])


def _every(value: object, name: str, check: Callable[[object], object]) -> list:
    _demand(isinstance(value, list), name)
    return [check(each) for each in value]


def _object(value: object, name: str) -> dict:
    _demand(isinstance(value, dict), name)
    return value


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _moment(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(datetime.fromisoformat(value))
    except ValueError:
        return False


def _share(value: object) -> bool:
    return _finite(value) and 0 <= value <= 1


def _demand(fits: bool, name: str) -> None:
    if not fits:
        raise AnswerInvalid(f"the answer's {name} is not as promised")
