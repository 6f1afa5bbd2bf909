"""What models scored on labelled folders: measured as the training's own figures are, and every reading kept.

A test set that is read again and again is chosen by in the end: how often it was read is told with the figures.
"""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model import bundle
from model.data.dataset import DataSet, Sample
from model.data.sources import LABEL_NAMES, DataError, Entry
from model.evaluation import assess
from model.serving import predict
from pneumoctl import files
from pneumoctl.errors import EXTRA, PneumoError
from pneumoctl.registry import store
from pneumoctl.registry.store import Registered
from pneumoctl.scoring.labelled import Folder
from pneumoctl.stack import audit
from pneumoctl.stack.hash_chain import Chain


def chain() -> Chain:
    """The record of them all: entries are only ever added."""
    return Chain(store.home() / "evaluations.jsonl")


def of(model: str) -> list[dict[str, Any]]:
    """Those of one model, oldest first."""
    return [one for one in chain().entries() if one.get("model") == model]


def readings(pictures: str) -> int:
    """How often these very pictures were read, by any model."""
    return sum(one.get("pictures") == pictures for one in chain().entries())


def evaluate(model: Registered, folder: Folder) -> dict[str, Any]:
    """Score the folder and keep the figures. PneumoError where the predict extra is missing or a file is no picture."""
    try:
        dataset = _dataset(folder)
        document, _, _ = assess.assess(predict.Classifier(bundle.load(model.directory)), dataset, "test")
    except ImportError as error:  # onnxruntime, of the predict extra
        raise PneumoError(f"this needs {error.name}", EXTRA.format("predict")) from error
    except (DataError, bundle.BundleError, ValueError) as error:
        raise PneumoError(f"{folder.stack} cannot be evaluated: {error}", "mend or remove that") from error
    entry = {
        "at": datetime.now(UTC).isoformat("T", "seconds"),
        "who": audit.who(),
        "model": model.id,
        "pictures": dataset.manifest_sha256,
        "metrics": document["metrics"],
        "refused": document["refused"],
    }
    chain().append(entry)
    return entry


def _dataset(folder: Folder) -> DataSet:
    """The pictures as model.evaluate wants them; two folders with the same pictures and labels are the same."""
    paths = [Path(name) for name in folder.labels]
    samples, lines = [], []
    for path, label, (digest, _) in zip(
        paths, folder.labels.values(), files.hashed(paths, lambda _: None), strict=True
    ):
        kind = LABEL_NAMES[label].lower()
        entry = Entry(path, path.name, label, "test", path.stem, kind, sha256=digest)
        samples.append(Sample(path.name, label, path.stem, kind, "test", digest, "", entry))
        lines.append(f"{label} {digest}")
    known = hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    return DataSet(folder.stack.name, tuple(samples), known)
