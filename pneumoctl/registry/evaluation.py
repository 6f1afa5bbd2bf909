"""Evaluate a model on a labelled folder with the same metrics as in training, and record the evaluation."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from model import bundle
from model.data.dataset import DataSet, Sample
from model.data.sources import LABEL_NAMES, DataError, Entry
from model.evaluation import assess, report, subgroups
from model.evaluation.corruptions import COPIES
from model.evaluation.paired import Scored
from model.operating_points_section import film_digest, own_films
from model.serving import predict
from pneumoctl import files, installation
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.registry.evaluations import chain
from pneumoctl.registry.store import Registered
from pneumoctl.scoring.labelled import Folder
from pneumoctl.stack import audit

Progress = Callable[[int], AbstractContextManager[Any]]


class Wanted(NamedTuple):
    """What an evaluation gives beside its figures.

    table: a CSV file with the view and the age of the pictures; report: the folder of plots and scores.
    """

    table: Path | None = None
    corruptions: bool = False
    report: Path | None = None


@dataclass(frozen=True)
class Evaluation:
    """entry: what is recorded; document: subgroups, decision curve, failures and so on; assessment: of each picture."""

    entry: dict[str, Any]
    document: dict[str, Any]
    scored: Scored
    assessment: assess.Assessment


FIGURES_ALONE = Wanted()


@contextmanager
def _silent(_: int) -> Iterator[Callable[[int], object]]:
    yield lambda _: None


def evaluate(
    model: Registered, folder: Folder, wanted: Wanted = FIGURES_ALONE, progress: Progress = _silent
) -> Evaluation:
    """Score the folder and record the figures. Raises PneumoError without the extra, or for unreadable files.

    progress: called with the number of pictures to score; a context that gives what to call after each.
    """
    _require_plots(wanted)
    table = _table(wanted.table)
    try:
        dataset = labelled_dataset(folder)
        classifier = predict.Classifier(bundle.load(model.directory))
        with progress(len(dataset.samples)) as advance:
            assessment = assess.assess(classifier, dataset, "test", advance)
        details = report.details(assessment, table)
        if wanted.corruptions:
            with progress(COPIES * len(dataset.samples)) as advance:
                details |= report.corrupted(classifier, assessment, advance)
    except ImportError as error:  # onnxruntime, of the predict extra
        raise installation.missing_package("evaluating a model", error, "predict") from error
    except (DataError, bundle.BundleError, ValueError) as error:
        raise PneumoError(f"{folder.directory} cannot be evaluated: {error}", "repair or remove that file") from error
    entry = _recorded(model, dataset, assessment.document)
    if wanted.report:
        details |= _reported(wanted.report, entry | details, classifier, assessment)
    return Evaluation(entry, details, report.scored(classifier, assessment), assessment)


def _table(path: Path | None) -> subgroups.Table | None:
    try:
        return subgroups.read_table(path) if path else None
    except DataError as error:
        raise PneumoError(str(error), "pneumoctl model evaluate --help", Exit.USAGE) from error


def _require_plots(wanted: Wanted) -> None:
    """Raise PneumoError before the pictures are read if the plots of a report could not be drawn."""
    lacking = {"matplotlib", "sklearn"} & set(installation.missing("train")) if wanted.report else set()
    if lacking:
        raise PneumoError(f"a report needs {' and '.join(sorted(lacking))}", installation.install_command("train"))


def _recorded(model: Registered, dataset: DataSet, document: dict[str, Any]) -> dict[str, Any]:
    entry = {
        "at": datetime.now(UTC).isoformat("T", "seconds"),
        "who": audit.current_user(),
        "model": model.id,
        "pictures": dataset.manifest_sha256,
        "metrics": document["metrics"],
        "refused": document["refused"],
        "in_use": document["in_use"],
        "of_calibration": _of_calibration(model, dataset.samples),
    }
    chain().append(entry)
    return entry


def _of_calibration(model: Registered, samples: Iterable[Sample]) -> int:
    """How many of the pictures are among those on which the operating points of the model were chosen by its user."""
    films = own_films(model.manifest)
    known = set(films["digests"]) if films else set()
    return sum(film_digest(sample.sha256) in known for sample in samples)


def _reported(
    folder: Path, document: dict[str, Any], classifier: predict.Classifier, assessment: assess.Assessment
) -> dict[str, Any]:
    try:
        names = report.write(folder, document, classifier, assessment, "evaluation")
    except OSError as error:
        hint = "name a folder that can be written: --report DIR"
        raise PneumoError(f"{folder}: {error.strerror or error}", hint) from error
    return {"report": str(folder), "report_files": names}


def labelled_dataset(folder: Folder) -> DataSet:
    """The folder as a data set; its digest depends on the pictures and labels only, not on names."""
    paths = [Path(name) for name in folder.labels]
    samples = []
    for path, label, (digest, _) in zip(
        paths, folder.labels.values(), files.hash_files(paths, lambda _: None), strict=True
    ):
        kind = LABEL_NAMES[label].lower()
        entry = Entry(path, path.name, label, "test", path.stem, kind, sha256=digest)
        samples.append(Sample(path.name, label, path.stem, kind, "test", digest, "", entry))
    return DataSet(folder.directory.name, tuple(samples), digest_of(samples))


def digest_of(samples: Iterable[Sample]) -> str:
    """The digest of pictures and labels, in any order."""
    return hashlib.sha256("\n".join(sorted(f"{each.label} {each.sha256}" for each in samples)).encode()).hexdigest()
