"""A labelled folder: find its pictures, have a stack score each once, and hold the findings against the labels."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.evaluation.metrics import evaluate
from model.serving.prediction import Finding, Prediction
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.scoring import find_files
from pneumoctl.scoring.api_client import Api
from pneumoctl.scoring.score import Outcome

CLASSES = ("NORMAL", "PNEUMONIA")  # folder names; the place is the label
_SUFFIXES = {".png", ".jpg", ".jpeg", ".dcm", ".dicom"}
_SHOWN = 16  # digits of the content's hash in a name


@dataclass(frozen=True)
class Folder:
    """Pictures by their paths, and the label of each: 0 normal, 1 pneumonia."""

    stack: Path
    labels: dict[str, int]


def find(named: Path | None, data: str | None) -> Folder:
    """The folder that is named, else the test split below `data` ($PNEUMO_DATA). PneumoError (usage) without one."""
    stack = named or _test_split(data)
    if not _is_labelled(stack):
        inside = "test/" if _is_labelled(stack / "test") else ""
        hint = f"pneumoctl infer {stack / 'test'}" if inside else "pneumoctl infer DIR"
        raise PneumoError(f"{stack} has no folders {' and '.join(CLASSES)}", hint, Exit.USAGE)
    found = [(name, label) for label, one in enumerate(CLASSES) for name in find_files.find([str(stack / one)]).files]
    return Folder(stack, dict(found))


def _test_split(data: str | None) -> Path:
    if not data:
        wanted = f"a folder with {' and '.join(CLASSES)} in it"
        message = f"which pictures? Name {wanted}, or set PNEUMO_DATA to a data set with a test split"
        raise PneumoError(message, "pneumoctl infer DIR (a data set: pneumoctl data fetch kermany)", Exit.USAGE)
    root = Path(data)
    found = [one for one in (root / "test", *sorted(root.glob("*/test"))) if _is_labelled(one)]
    if len(found) != 1:
        count = f"{len(found)} test splits: {', '.join(map(str, found))}" if found else "no test split"
        raise PneumoError(f"PNEUMO_DATA={data} has {count}", "pneumoctl infer DIR", Exit.USAGE)
    return found[0]


def _is_labelled(stack: Path) -> bool:
    return all((stack / name).is_dir() for name in CLASSES)


class Poster:
    """Scores pictures through a stack's API, under names that tell nothing of a patient.

    What the API has kept already is taken from there, so that a second run, or one after a kill, posts only what is
    missing. `before` is called once, before the first post.
    """

    def __init__(self, api: Api, version: str, before: Callable[[], None]) -> None:
        self.posted = 0
        self._api, self._version, self._before = api, version, before
        self._lock = threading.Lock()

    def score(self, content: bytes, file: str) -> Prediction:
        """The prediction document of one picture, kept by the stack."""
        name = neutral(content, file)
        known = self._api.kept(identity(content, name, self._version))
        if known is not None:
            return known
        with self._lock:
            if not self.posted:
                self._before()
            self.posted += 1
        return self._api.score(content, name)


def neutral(content: bytes, file: str) -> str:
    """The name that the page shows: of the content, with the file's ending."""
    suffix = Path(file).suffix.lower()
    return hashlib.sha256(content).hexdigest()[:_SHOWN] + (suffix if suffix in _SUFFIXES else "")


def identity(content: bytes, name: str, version: str) -> str:
    """The id by which the API keeps a prediction (see model.serving.predict.identity, which may be absent)."""
    parts = (hashlib.sha256(content).hexdigest(), name, version)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def judged(outcomes: Iterable[Outcome], labels: dict[str, int]) -> dict[str, Any]:
    """The document on a whole folder: counts, and figures with 95 % intervals over what was scored, None if nothing."""
    told = list(outcomes)
    documents = [(one.document, labels[one.file]) for one in told if one.document]
    scored = [(document, label) for document, label in documents if document["refusal"] is None]
    models = {document["model"]["version"]: document["model"] for document, _ in documents}
    if len(models) > 1:
        message = f"the stack's model changed meanwhile: {' and '.join(sorted(models))}"
        raise PneumoError(message, "run the same command again: it resumes")
    return {
        "pictures": len(told),
        "scored": len(scored),
        "refused": len(documents) - len(scored),
        "errors": [{"file": one.file, "message": one.error} for one in told if one.error],
        "model": next(iter(models.values()), None),
        "figures": _figures(scored) if scored else None,
    }


def _figures(scored: Sequence[tuple[Finding, int]]) -> dict[str, Any]:
    labels = [label for _, label in scored]
    found = evaluate(labels, [one["probability"] for one, _ in scored], float(scored[0][0]["threshold"]))
    names = ("n", "positives", "negatives", "threshold", "sensitivity", "specificity", "auc", "confusion")
    return {name: found[name] for name in names}


def exit_code(document: dict[str, Any]) -> Exit:
    """1 when nothing but errors came of it; 6 when a picture was not scored."""
    if len(document["errors"]) == document["pictures"]:
        return Exit.FAILED
    return Exit.PARTLY if document["errors"] or document["refused"] else Exit.DONE
