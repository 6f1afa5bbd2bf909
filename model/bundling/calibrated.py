"""Make a new version of a bundle whose calibration and operating points come from labelled films of its user."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from model import bundle as bundles
from model.bundle import Bundle
from model.bundling import calibrated_card, thresholds
from model.bundling.known_picture import known_picture, verify
from model.bundling.onnx import add_offset
from model.bundling.provenance import code_version, now
from model.bundling.trained import HISTORY_PLOT, KERAS_FILE
from model.evaluation import calibrate, plots
from model.evaluation.intervals import wilson
from model.evaluation.metrics import evaluate, score_bins
from model.operating_points_section import DEFAULT_POINT, OWN_FILMS, Films, StoredPoint
from model.serving.predict import Classifier
from model.settings import choose

CARD = "MODEL_CARD.md"
# The widest 95 % interval of a rate at an operating point. Sensitivity: with .10, a model that overlooks one pneumonia
# in twenty is not taken for one that overlooks one in seven. Specificity: a false alarm costs a second look, an
# overlooked pneumonia a treatment, so this interval may be twice as wide.
WIDEST = {"sensitivity": 0.10, "specificity": 0.20}
_OF_CLASS = {"sensitivity": "with pneumonia", "specificity": "without"}


class TooFewFilmsError(ValueError):
    """The films are too few to choose operating points on them; the message says how many would do."""


def fewest(rate: str, value: float = 1.0) -> int:
    """How many films of its class a rate of that value needs, so that its interval is no wider than WIDEST allows."""
    n = 1
    while _width(value * n, n) > WIDEST[rate]:
        n += 1
    return n


def require_enough(positives: int, negatives: int) -> None:
    """Raise TooFewFilmsError if not even a perfect classifier would have narrow enough intervals on so many films."""
    counts = {"sensitivity": positives, "specificity": negatives}
    lacking = [_too_few(rate, n, 1.0) for rate, n in counts.items() if n < fewest(rate)]
    if lacking:
        raise TooFewFilmsError(f"{'; '.join(lacking)}, even if the model were right on all of them")


def recalibrate(
    base: Bundle,
    out_dir: Path,
    logits: np.ndarray,
    labels: np.ndarray,
    films: Mapping[str, Any],
    name: str = "",
    target_sensitivity: float | None = None,
) -> Bundle:
    """Write the new version of `base` into the empty folder `out_dir`; `base` is not changed.

    logits float64 [n], labels int64 [n]: of the films that serving does not refuse. films: `pictures`, `scored`,
    `digests` and `refused`, as in operating_points_section.Films. Offset and temperature are fitted by Platt scaling;
    the offset is added to the network. The new version has no Keras file, which would be another network: fine-tuning
    starts from the original's.
    Raises TooFewFilmsError, ValueError (a class is missing), ExportError.
    """
    require_enough(int((labels == 1).sum()), int((labels == 0).sum()))
    temperature, offset = calibrate.calibration(logits, labels)
    probabilities = calibrate.sigmoid(logits + offset, temperature)
    target = target_sensitivity or _target(base)
    points = thresholds.measure({"validation": (labels, probabilities)}, target)
    _require_narrow(points)
    (out_dir / "report").mkdir(parents=True)
    _copy_files(base, out_dir)
    add_offset(base.directory / bundles.NETWORK, out_dir / bundles.NETWORK, offset)
    metrics = evaluate(labels, probabilities, points[DEFAULT_POINT]["threshold"])
    plots.report(labels, probabilities, metrics["threshold"], out_dir / "report", "calibration")
    stated = {**metrics, "refused": 0, "score_bins": score_bins(probabilities)}
    manifest = _manifest(base, name, temperature, offset, points, stated, films)
    manifest["known_picture"] = known_picture(Classifier(Bundle(out_dir, manifest)))
    (out_dir / CARD).write_text(calibrated_card.text(manifest, _card(base)), encoding="utf-8")
    written = bundles.write(out_dir, manifest)
    verify(out_dir)
    return written


def _target(base: Bundle) -> float:
    stated = base.manifest["operating_point"].get("target_sensitivity")
    valid = isinstance(stated, int | float) and not isinstance(stated, bool) and 0 < stated <= 1
    return float(stated) if valid else choose().target_sensitivity


def _require_narrow(points: Mapping[str, StoredPoint]) -> None:
    lacking = []
    for name, point in points.items():
        rates = point["validation"]
        for rate, measured in (
            (("sensitivity", rates["sensitivity"]), ("specificity", rates["specificity"])) if rates else ()
        ):
            if measured is not None and measured["high"] - measured["low"] > WIDEST[rate]:
                lacking.append(f"{_too_few(rate, measured['n'], measured['value'])} at the operating point {name}")
    if lacking:
        raise TooFewFilmsError("; ".join(lacking))


def _too_few(rate: str, n: int, value: float) -> str:
    low, high = wilson(value * n, n) if n else (0.0, 1.0)
    return (
        f"{n} films {_OF_CLASS[rate]} are too few: with a {rate} of {value:.3f} its 95 % interval is {low:.3f} to "
        f"{high:.3f}, wider than {WIDEST[rate]:.2f}; about {fewest(rate, value)} such films would do"
    )


def _width(hits: float, n: int) -> float:
    low, high = wilson(hits, n)
    return high - low


def _copy_files(base: Bundle, out_dir: Path) -> None:
    """Copy what holds for the new version, too: neither card nor plots of the figures, and no other network."""
    for name in base.manifest["files"]:
        if name not in (bundles.NETWORK, KERAS_FILE, CARD) and (not name.startswith("report/") or name == HISTORY_PLOT):
            (out_dir / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base.directory / name, out_dir / name)


def _card(base: Bundle) -> str:
    path = base.directory / CARD
    return path.read_text(encoding="utf-8", errors="replace") if CARD in base.manifest["files"] else ""


def _manifest(
    base: Bundle,
    name: str,
    temperature: float,
    offset: float,
    points: Mapping[str, StoredPoint],
    metrics: Mapping[str, Any],
    films: Mapping[str, Any],
) -> dict[str, Any]:
    # What was measured on shifted copies was measured at the threshold of the original.
    made_anew = ("schema", "version", "files", "shifted")
    kept = {key: value for key, value in base.manifest.items() if key not in made_anew}
    earlier = kept.get("calibration")
    total = offset + (float(earlier["offset"]) if isinstance(earlier, dict) and "offset" in earlier else 0.0)
    chosen: dict[str, StoredPoint] = {label: {**point, "chosen_on": OWN_FILMS} for label, point in points.items()}
    counts = {key: metrics[key] for key in ("n", "positives", "negatives")}
    stated: Films = {**films, **counts, "date": datetime.now(UTC).date().isoformat()}  # type: ignore[typeddict-item]
    return {
        **kept,
        "name": name or base.name,
        "created": now(),
        "code_version": code_version(),
        "base": base.version,
        "temperature": temperature,
        "calibration": {"chosen_on": OWN_FILMS, "offset": total, "films": stated},
        "operating_points": chosen,
        "operating_point": {
            "threshold": chosen[DEFAULT_POINT]["threshold"],
            "target_sensitivity": chosen[DEFAULT_POINT]["target_sensitivity"],
            "chosen_on": OWN_FILMS,
            "sensitivity": metrics["sensitivity"],
            "specificity": metrics["specificity"],
        },
        "metrics": {"validation": metrics, "test": None},
    }
