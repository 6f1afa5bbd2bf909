"""Evaluate a model on a labelled folder with the same metrics as in training, and record the evaluation."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model import bundle
from model.data.dataset import DataSet, Sample
from model.data.sources import LABEL_NAMES, DataError, Entry
from model.evaluation import assess
from model.serving import predict
from pneumoctl import files, installation
from pneumoctl.errors import PneumoError
from pneumoctl.registry.evaluations import chain
from pneumoctl.registry.store import Registered
from pneumoctl.scoring.labelled import Folder
from pneumoctl.stack import audit


def evaluate(model: Registered, folder: Folder) -> dict[str, Any]:
    """Score the folder and record the figures. Raises PneumoError without the predict extra or for unreadable files."""
    try:
        dataset = _dataset(folder)
        document, _, _ = assess.assess(predict.Classifier(bundle.load(model.directory)), dataset, "test")
    except ImportError as error:  # onnxruntime, of the predict extra
        raise installation.missing_package("evaluating a model", error, "predict") from error
    except (DataError, bundle.BundleError, ValueError) as error:
        raise PneumoError(f"{folder.directory} cannot be evaluated: {error}", "repair or remove that file") from error
    entry = {
        "at": datetime.now(UTC).isoformat("T", "seconds"),
        "who": audit.current_user(),
        "model": model.id,
        "pictures": dataset.manifest_sha256,
        "metrics": document["metrics"],
        "refused": document["refused"],
        "in_use": document["in_use"],
    }
    chain().append(entry)
    return entry


def _dataset(folder: Folder) -> DataSet:
    """The folder as a data set; its digest depends on the pictures and labels only, not on names."""
    paths = [Path(name) for name in folder.labels]
    samples, lines = [], []
    for path, label, (digest, _) in zip(
        paths, folder.labels.values(), files.hash_files(paths, lambda _: None), strict=True
    ):
        kind = LABEL_NAMES[label].lower()
        entry = Entry(path, path.name, label, "test", path.stem, kind, sha256=digest)
        samples.append(Sample(path.name, label, path.stem, kind, "test", digest, "", entry))
        lines.append(f"{label} {digest}")
    digest_of_all = hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    return DataSet(folder.directory.name, tuple(samples), digest_of_all)
