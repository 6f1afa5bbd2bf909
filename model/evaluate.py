"""Measure a classifier, or a bundle on a data set: every figure with its count and a 95 % interval."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model.calibrate import sigmoid
from model.intervals import auc, f1, proportion

if TYPE_CHECKING:
    from model.data import DataSet, Sample
    from model.predict import Classifier

ECE_BINS = 10
ROWS = {"auc": "AUC", "sensitivity": "sensitivity", "specificity": "specificity", "precision": "precision"}
ROWS |= {"f1": "F1", "accuracy": "accuracy"}


def evaluate(labels: Any, probabilities: Any, threshold: float) -> dict[str, Any]:
    """Every figure of one scored data set; a picture is called pneumonia when its probability >= `threshold`.

    labels: [n] of 0 and 1; probabilities: [n] in 0..1. An interval is {"value", "low", "high", "n"} at 95 %; where a
    figure has no pictures to rest on (sensitivity without pneumonia, AUC with one class) it is None, never a guess.
    Pictures are taken as independent: with several of one patient the true intervals are somewhat wider.
    Raises ValueError for empty input, other shapes, labels that are not 0 or 1, or what is no probability.
    """
    y, p = checked(labels, probabilities)
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"the threshold must lie in 0..1, not {threshold}")
    called = p >= threshold
    tp, fp = int(np.sum(called & (y == 1))), int(np.sum(called & (y == 0)))
    fn, tn = int(np.sum(~called & (y == 1))), int(np.sum(~called & (y == 0)))
    return {
        "n": len(y),
        "positives": tp + fn,
        "negatives": fp + tn,
        "threshold": float(threshold),
        "auc": auc(y, p) if 0 < tp + fn < len(y) else None,
        "sensitivity": proportion(tp, tp + fn),
        "specificity": proportion(tn, fp + tn),
        "precision": proportion(tp, tp + fp),
        "f1": f1(tp, fp, fn),
        "accuracy": proportion(tp + tn, len(y)),
        "brier": float(np.mean((p - y) ** 2)),
        "ece": calibration_error(y, p),
        "confusion": {"tp": tp, "fp": fp, "tn": tn, "fn": fn},
    }


def checked(labels: Any, probabilities: Any) -> tuple[np.ndarray, np.ndarray]:
    """Labels as int64 [n] and probabilities as float64 [n], or ValueError for anything that cannot be measured."""
    y, p = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    if y.ndim != 1 or y.shape != p.shape:
        raise ValueError(f"labels and probabilities must be two equally long rows, not {y.shape} and {p.shape}")
    if len(y) == 0:
        raise ValueError("nothing to measure: no pictures")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("labels must be 0 (no pneumonia) or 1 (pneumonia)")
    if not ((p >= 0) & (p <= 1)).all():  # a NaN fails both comparisons
        raise ValueError("probabilities must lie in 0..1")
    return y.astype(np.int64), p


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = ECE_BINS) -> float:
    """Expected calibration error: mean |share of positives - mean probability| over equal-width bins, by count."""
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=labels - probabilities, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def score(classifier: "Classifier", samples: Sequence["Sample"]) -> tuple[np.ndarray, np.ndarray]:
    """(logits float64 [n], labels int64 [n]) of samples, each decoded and scored alone as in serving."""
    from model.data import read
    from model.images import to_input

    height, width = classifier.bundle.height, classifier.bundle.width
    found = [classifier.logits(to_input(read(sample), height, width)[np.newaxis])[0] for sample in samples]
    return np.array(found, dtype=np.float64), np.array([sample.label for sample in samples], dtype=np.int64)


def refusals(classifier: "Classifier", samples: Sequence["Sample"]) -> int:
    """How many samples serving would refuse to score. They still count in every figure of `evaluate`."""
    from model import refuse
    from model.data import picture
    from model.images import Refused

    block, count = classifier.bundle.manifest["refusal"], 0
    for sample in samples:
        try:
            refuse.check(picture(sample), block)
        except Refused:
            count += 1
    return count


def table(metrics: dict[str, Any]) -> str:
    """The figures as lines of text: value, 95 % interval, number of pictures."""
    lines = [f"{'':12} value  95 % interval   pictures"]
    for key, title in ROWS.items():
        one = metrics[key]
        if one is None:
            lines.append(f"{title:12} -      nothing to count")
        else:
            lines.append(f"{title:12} {one['value']:.3f}  {one['low']:.3f} to {one['high']:.3f}  {one['n']:8}")
    told = metrics["confusion"]
    lines.append(f"{'Brier':12} {metrics['brier']:.3f}  calibration error {metrics['ece']:.3f}")
    lines.append(f"pneumonia called {told['tp']} of {metrics['positives']}, ")
    lines[-1] += f"none called {told['tn']} of {metrics['negatives']}, at threshold {metrics['threshold']:.6g}"
    return "\n".join(lines)


def assess(classifier: "Classifier", dataset: "DataSet", part: str) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Score one part of a data set: (document, labels [n], probabilities [n])."""
    samples = dataset.part(part)
    if not samples:
        raise ValueError(f"{dataset.name} has no {part} pictures")
    bundle = classifier.bundle
    logits, labels = score(classifier, samples)
    probabilities = sigmoid(logits, bundle.temperature)
    document = {
        "model": {"name": bundle.name, "version": bundle.version},
        "data": {"name": dataset.name, "manifest_sha256": dataset.manifest_sha256, "part": part},
        "metrics": evaluate(labels, probabilities, bundle.threshold),
        "refused": refusals(classifier, samples),
    }
    return document, labels, probabilities


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
    from model.data import DataError
    from model.predict import Classifier

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
    from model import data

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
    from model import plots

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    plots.report(labels, probabilities, at, folder, document["data"]["part"])


if __name__ == "__main__":
    sys.exit(main())
