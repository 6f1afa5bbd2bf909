"""Measure a bundle on a data set: `python -m model.evaluate BUNDLE DATA`; every metric with its 95 % interval."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from model import bundle as bundles
from model.data import dataset as data
from model.data.dataset import DataError, DataSet
from model.evaluation import report, subgroups
from model.evaluation.assess import assess
from model.evaluation.metrics import table
from model.serving.predict import Classifier
from model.settings import validation_cut

_DESCRIPTION = "Score a data set with a bundle in ONNX Runtime and print the metrics with their 95 % intervals."


def main(argv: Sequence[str] | None = None) -> int:
    """Score a data set with a bundle in ONNX Runtime and print its metrics. Exit 0 done, 1 failed, 2 usage."""
    parser = argparse.ArgumentParser(prog="python -m model.evaluate", description=_DESCRIPTION)
    parser.add_argument("bundle", type=Path, help="directory with bundle.json")
    parser.add_argument("data", type=Path, help="folder with train/ and test/, a .npz or a manifest .csv")
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="the part to score")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--out", type=Path, help="also write metrics.json and the plots into this directory")
    parser.add_argument("--table", type=Path, help="CSV file with the columns file, and view or age, for subgroups")
    parser.add_argument("--corruptions", action="store_true", help="also measure 13 kinds of corruption, 5 times each")
    options = parser.parse_args(argv)
    try:
        classifier = Classifier(bundles.load(options.bundle))
        dataset = _dataset(classifier, options.data, options.split)
        table = subgroups.read_table(options.table) if options.table else None
        assessment = assess(classifier, dataset, options.split)
        document = assessment.document | report.details(assessment, table)
        if options.corruptions:
            document |= report.corrupted(classifier, assessment)
        if options.out:
            report.write(options.out, document, classifier, assessment, options.split)
    except (bundles.BundleError, DataError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(document, indent=2) if options.json else _text(document))
    return 0


def _dataset(classifier: Classifier, source: Path, part: str) -> DataSet:
    """The data set; for "validation", split as in the training of the bundle. Raises ValueError for other data."""
    dataset = data.load(source)
    if part == "test":
        return dataset
    manifest = classifier.bundle.manifest
    if manifest["data"].get("manifest_sha256") != dataset.manifest_sha256:
        raise ValueError(
            f"{classifier.bundle.name} was not trained on {dataset.name}: "
            "which of these pictures it was trained on is unknown. Use --split test."
        )
    return data.split(dataset, *validation_cut(manifest["settings"]))


def _text(document: dict[str, Any]) -> str:
    model, data, metrics = document["model"], document["data"], document["metrics"]
    title = f"{model['name']} {model['version']} on {data['part']} of {data['name']}: {metrics['n']} pictures"
    refused = f"{document['refused']} of them would be refused in use; the metrics above include them"
    return "\n".join([title, table(metrics), refused, *_tables(document), "", report.failure_line(document)])


def _tables(document: dict[str, Any]) -> Iterator[str]:
    for title, columns, rows in report.tables(document):
        widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
        yield f"\n{title}:"
        for row in (columns, *rows):
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


if __name__ == "__main__":
    sys.exit(main())
