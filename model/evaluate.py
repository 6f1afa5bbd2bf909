"""Measure a classifier, or a bundle on a data set: every figure with its count and a 95 % interval."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from model.data.dataset import DataSet
    from model.serving.predict import Classifier
from model.evaluation.assess import assess
from model.evaluation.metrics import ROWS, table

ROWS |= {"f1": "F1", "accuracy": "accuracy"}


def main(argv: Sequence[str] | None = None) -> int:
    """Score a data set with a bundle through ONNX Runtime and print what came out; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m model.evaluate", description=main.__doc__)
    parser.add_argument("bundle", type=Path, help="directory with bundle.json")
    parser.add_argument("data", type=Path, help="folder with train/ and test/, a .npz or a manifest .csv")
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="the part to score")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--out", type=Path, help="also write metrics.json and the plots into this directory")
    chosen = parser.parse_args(argv)
    from model import bundle as bundles
    from model.data.dataset import DataError
    from model.serving.predict import Classifier

    try:
        classifier = Classifier(bundles.load(chosen.bundle))
        dataset = _dataset(classifier, chosen.data, chosen.split)
        document, labels, probabilities = assess(classifier, dataset, chosen.split)
        if chosen.out:
            _write(chosen.out, document, labels, probabilities, classifier.bundle.threshold)
    except (bundles.BundleError, DataError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(document, indent=2) if chosen.json else _text(document))
    return 0


def _dataset(classifier: "Classifier", source: Path, part: str) -> "DataSet":
    """The data set, with the validation part that the bundle's own run cut off when that is asked for."""
    from model.data import dataset as data

    dataset = data.load(source)
    if part == "test":
        return dataset
    manifest = classifier.bundle.manifest
    if manifest["data"].get("manifest_sha256") != dataset.manifest_sha256:
        raise ValueError(
            f"{classifier.bundle.name} was not trained on {dataset.name}: "
            "which of these pictures its training saw is unknown. Use --split test."
        )
    return data.split(dataset, manifest["settings"]["validation_share"], manifest["settings"]["seed"])


def _text(document: dict[str, Any]) -> str:
    model, data, metrics = document["model"], document["data"], document["metrics"]
    title = f"{model['name']} {model['version']} on {data['part']} of {data['name']}: {metrics['n']} pictures"
    refused = f"{document['refused']} of them would be refused in use; they are counted above all the same"
    return f"{title}\n{table(metrics)}\n{refused}"


def _write(folder: Path, document: dict[str, Any], labels: np.ndarray, probabilities: np.ndarray, at: float) -> None:
    from model.evaluation import plots

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    plots.report(labels, probabilities, at, folder, document["data"]["part"])


if __name__ == "__main__":
    sys.exit(main())
