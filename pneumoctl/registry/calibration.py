"""Calibrate a model on labelled films of its user: a new version, registered beside the original."""

import itertools
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model import bundle
from model.bundling import calibrated
from model.bundling.onnx import ExportError
from model.operating_points_section import film_digest
from pneumoctl import installation
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.registry import evaluation, store
from pneumoctl.registry.evaluation import Evaluation, Progress
from pneumoctl.registry.store import Registered
from pneumoctl.scoring.labelled import Folder
from pneumoctl.terminal.report import counted

_PACKAGES = {"matplotlib", "onnx", "onnxruntime", "scipy", "sklearn"}


@dataclass(frozen=True)
class Calibration:
    """The new version, and the evaluation of the original on the same films."""

    model: Registered
    original: Evaluation

    def document(self) -> dict[str, Any]:
        """What was made of which films, without their digests: the figures on them before and now."""
        manifest = self.model.manifest
        films = {name: value for name, value in manifest["calibration"]["films"].items() if name != "digests"}
        return {
            "model": self.model.id,
            "base": self.original.entry["model"],
            "directory": str(self.model.directory),
            "films": films,
            "operating_points": manifest["operating_points"],
            "metrics": manifest["metrics"]["validation"],
            "before": self.original.entry["in_use"],
        }


def calibrate(
    base: Registered, folder: Folder, name: str, target_sensitivity: float | None, progress: Progress
) -> Calibration:
    """Score the films with `base`, fit the new version and register it. `name`: of the new version, "" for the same.

    Raises PneumoError without the train extra, for unreadable films, and if the films that serving does not refuse are
    too few, before they are scored if that is certain.
    """
    lacking = sorted(_PACKAGES & set(installation.missing("train")))
    if lacking:
        raise PneumoError(f"calibration needs {' and '.join(lacking)}", installation.install_command("train"))
    store.require_valid_name(name or base.manifest["name"])
    labels = Counter(folder.labels.values())
    with _explained(folder):
        calibrated.require_enough(labels[1], labels[0])
    original = evaluation.evaluate(base, folder, progress=progress)
    scores, samples = original.assessment.scores, original.assessment.samples
    suitable = ~scores.refused
    films: dict[str, Any] = {
        "pictures": original.entry["pictures"],
        "scored": evaluation.digest_of(itertools.compress(samples, suitable)),
        "digests": sorted(film_digest(sample.sha256) for sample in itertools.compress(samples, suitable)),
        "refused": original.entry["refused"],
    }
    with tempfile.TemporaryDirectory() as beside, _explained(folder, original.entry["refused"]):
        directory = Path(beside) / "bundle"
        calibrated.recalibrate(
            bundle.load(base.directory),
            directory,
            scores.logits[suitable],
            scores.labels[suitable],
            films,
            name,
            target_sensitivity,
        )
        return Calibration(store.register(directory, f"calibrated from {base.id}"), original)


@contextmanager
def _explained(folder: Folder, refused: int = 0) -> Iterator[None]:
    try:
        yield
    except calibrated.TooFewFilmsError as error:
        message = f"{folder.directory} does not suffice to calibrate a model: {error}"
        if refused:
            message += f"; {counted(refused, 'film is', 'films are')} refused in use and not counted"
        raise PneumoError(message, "add labelled films and run the command again", Exit.FAILED) from error
    except (bundle.BundleError, ExportError, ValueError) as error:
        raise PneumoError(f"the model cannot be calibrated: {error}", "pneumoctl model show MODEL") from error
