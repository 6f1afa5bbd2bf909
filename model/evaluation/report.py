"""The report of an evaluation: what stands in its document beside the figures, its tables, and its files."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from model.evaluation import decision_curve, failures, plots, report_plots, scores_file, subgroups
from model.evaluation.assess import Advance, Assessment
from model.evaluation.corruptions import CLEAN, SEVERITIES, measure
from model.evaluation.intervals import Interval
from model.evaluation.paired import Scored
from model.evaluation.subgroups import Table
from model.serving import operating_points
from model.serving.predict import Classifier

DOCUMENT, FAILURES, CORRUPTIONS = "metrics.json", "failures.png", "corruptions.png"
CURVE = "decision_curve.png"
Rows = list[tuple[str, ...]]


def details(assessment: Assessment, table: Table | None = None) -> dict[str, Any]:
    """Subgroups, decision curve and failures of scored pictures, for their document. Raises DataError for the table."""
    scores, probabilities, threshold = assessment.scores, assessment.probabilities, assessment.threshold
    samples = assessment.samples
    return {
        "subgroups": subgroups.figures(samples, scores.stated, probabilities, scores.refused, threshold, table),
        "decision_curve": decision_curve.decision_curve(scores.labels, probabilities),
        "failures": failures.find(samples, probabilities, scores.refused, threshold),
    }


def corrupted(classifier: Classifier, assessment: Assessment, advance: Advance = lambda _: None) -> dict[str, Any]:
    """The figures after each corruption, for the document."""
    return {"corruptions": measure(classifier, assessment.samples, advance)}


def scored(classifier: Classifier, assessment: Assessment) -> Scored:
    """The scores of the pictures and the operating points of the model, to compare it with another."""
    points = operating_points.read(classifier.bundle.manifest)
    thresholds = {name: point.threshold for name, point in points.items()}
    digests = [sample.sha256 for sample in assessment.samples]
    return Scored(digests, assessment.scores.labels, assessment.probabilities, thresholds)


def write(
    folder: Path, document: dict[str, Any], classifier: Classifier, assessment: Assessment, prefix: str
) -> list[str]:
    """Write the document, the scores and the plots into a folder; returns the names of the files. Needs matplotlib.

    The folder is made for its owner alone: it has small copies of films.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in (FAILURES, CORRUPTIONS):  # of an earlier report; not every report has them
        (folder / name).unlink(missing_ok=True)
    paths = plots.report(assessment.scores.labels, assessment.probabilities, assessment.threshold, folder, prefix)
    names = [path.name for path in paths]
    report_plots.decision_curve(document["decision_curve"], folder / CURVE)
    names.append(CURVE)
    if report_plots.failures(document["failures"], assessment.samples, folder / FAILURES):
        names.append(FAILURES)
    if "corruptions" in document:
        report_plots.corruptions(document["corruptions"], folder / CORRUPTIONS)
        names.append(CORRUPTIONS)
    (folder / DOCUMENT).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    model = f"{classifier.bundle.name}-{classifier.bundle.version}"
    scores_file.write(folder, model, scored(classifier, assessment))
    return sorted([*names, DOCUMENT, scores_file.NAME])


def tables(document: dict[str, Any]) -> Iterator[tuple[str, Sequence[str], Rows]]:
    """What the document says beside the figures, as tables: (title, columns, rows)."""
    for kind, groups in subgroups.known(document["subgroups"]).items():
        rows = [(name, *_figures(group), f"{group['refused']} of {group['n']}") for name, group in groups.items()]
        yield f"by {kind}", (kind, "AUC", "sensitivity", "specificity", "refused"), rows
    curve = document["decision_curve"]
    points = curve["points"][1::2]  # every tenth
    rows = [(f"{point['threshold']:g}", _figure(point["model"]), _figure(point["all"]), "0") for point in points]
    title = f"net benefit where {curve['prevalence']['value']:.1%} have pneumonia, {curve['n']} pictures"
    yield title, ("threshold", "model", "all called pneumonia", "none"), rows
    if "corruptions" in document:
        yield _corruptions(document["corruptions"])


def failure_line(document: dict[str, Any]) -> str:
    """How many findings are wrong, by kind."""
    wrong = document["failures"]
    return "; ".join(f"{title}: {wrong[kind]['n']} of {wrong[kind]['of']}" for kind, title in failures.KINDS.items())


def _corruptions(measured: dict[str, Any]) -> tuple[str, Sequence[str], Rows]:
    listed = [(CLEAN, "", measured[CLEAN])]
    for kind, points in measured["kinds"].items():
        listed += [(kind, str(severity), point) for severity, point in zip(SEVERITIES, points, strict=True)]
    rows = [(kind, severity, *_figures(point), _figure(point["refused"])) for kind, severity, point in listed]
    title = f"after corruptions, {measured[CLEAN]['n']} pictures each"
    return title, ("corruption", "severity", "AUC", "sensitivity", "specificity", "refused"), rows


def _figures(measured: dict[str, Any]) -> tuple[str, str, str]:
    """AUC, sensitivity and specificity, each with its interval and n."""
    return _counted(measured["auc"]), _counted(measured["sensitivity"]), _counted(measured["specificity"])


def _counted(figure: Interval | None) -> str:
    return f"{_figure(figure)}, n = {figure['n']}" if figure else "-"


def _figure(figure: Interval | None) -> str:
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})" if figure else "-"
