"""Make a bundle of a trained network: exported, proven equal, calibrated, measured, and only then there at all."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model import bundle as bundles
from model.bundle import Bundle
from model.bundling import card
from model.bundling.known_picture import known_picture, prove
from model.bundling.onnx import ExportError, compare, save_keras, shifted, to_onnx
from model.bundling.provenance import Origin, code_version, command, now
from model.data import dataset as data
from model.data.attribution import SOURCES
from model.evaluation import calibrate, plots
from model.evaluation.assess import refusals, score
from model.evaluation.metrics import evaluate
from model.images import refuse
from model.serving.predict import Classifier

if TYPE_CHECKING:
    import keras

    from model.data.dataset import DataSet, Sample
    from model.settings import TrainSettings

KERAS_FILE = "model.keras"
UNSTATED = Origin()


def build_bundle(
    model: keras.Model,
    settings: TrainSettings,
    dataset: DataSet,
    out_dir: Path,
    name: str,
    test: bool = False,
    history: Sequence[Mapping[str, float]] = (),
    origin: Origin = UNSTATED,
    tell: Callable[[str], None] = lambda _: None,
    replace: bool = False,
) -> Bundle:
    """Make the bundle `out_dir` of a trained model; a failure or a kill at any point leaves no bundle there.

    dataset: with its validation part cut off as in training: calibration and threshold come from that part alone, the
    refusal statistics from the training part; the test part is scored only when `test` is set. The calibration's
    offset goes into the last bias of the bundle's networks, `model` stays as it is. The same arguments on the same
    machine give the same version. Raises ExportError (the exported files do not equal `model`, or the health
    gate could not pass), ValueError (a part lacks a class), FileExistsError (`out_dir` is not empty, unless `replace`).
    """
    if not replace and out_dir.exists() and any(out_dir.iterdir()):
        raise FileExistsError(f"{out_dir} exists already; remove it, replace it or name another directory")
    work = out_dir.parent / f".{out_dir.name}.part"
    shutil.rmtree(work, ignore_errors=True)  # what a killed export left
    (work / "report").mkdir(parents=True)
    try:
        manifest = _filled(model, settings, dataset, work, name, test, origin, tell)
        if history:
            plots.history(history, work / "report" / "history.png")
        _write_card(manifest, work, origin.command or command(settings, name, test, origin.source))
        bundles.write(work, manifest)
        prove(work)
        if replace:
            shutil.rmtree(out_dir, ignore_errors=True)
        work.replace(out_dir)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return bundles.load(out_dir, deep=True)


def _filled(
    model: keras.Model,
    settings: TrainSettings,
    dataset: DataSet,
    work: Path,
    name: str,
    test: bool,
    origin: Origin,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Write networks and plots into `work`; returns the manifest with all that was chosen and measured."""
    tell("calibrating on the validation part")
    temperature, offset = _calibration(model, dataset)
    tell("exporting and comparing with ONNX Runtime")
    calibrated = shifted(model, offset)
    export(calibrated, work)
    compare(calibrated, work / bundles.NETWORK, temperature)
    tell("describing the training pictures")
    manifest = _draft(model, settings, dataset, name, origin)
    manifest |= {"temperature": temperature, "calibration": {"chosen_on": "validation", "offset": offset}}
    tell("scoring the validation part" + (" and the test part" if test else ""))
    _measure(manifest, work, dataset, settings, test)
    manifest["known_picture"] = known_picture(Classifier(Bundle(work, manifest)))
    return manifest


def _calibration(model: keras.Model, dataset: DataSet) -> tuple[float, float]:
    pixels, labels = data.arrays(dataset.part("validation"), *model.input_shape[1:3])
    return calibrate.calibration(model.predict(pixels, batch_size=32, verbose=0)[:, 0], labels)


def export(model: keras.Model, directory: Path) -> None:
    """Write model.keras and model.onnx into `directory`; raises ExportError unless both give what `model` gives."""
    import keras

    save_keras(model, directory / KERAS_FILE)
    to_onnx(model, directory / bundles.NETWORK)
    compare(model, directory / bundles.NETWORK)
    # Fine-tuning will start from the .keras file: it must be the same network too.
    compare(keras.models.load_model(directory / KERAS_FILE, compile=False), directory / bundles.NETWORK)


def _draft(model: keras.Model, settings: TrainSettings, dataset: DataSet, name: str, origin: Origin) -> dict[str, Any]:
    height, width = model.input_shape[1:3]
    parts = {part: dataset.part(part) for part in ("train", "validation", "test")}
    patients = {part: {sample.patient for sample in samples} for part, samples in parts.items()}
    with ThreadPoolExecutor() as pool:
        described = np.stack(list(pool.map(_statistics, parts["train"])))
    return {
        "name": name,
        "created": origin.created or now(),
        "input": {"height": height, "width": width, "channels": 1, "range": [0, 255], "resize": "squash-bilinear"},
        "labels": ["no pneumonia", "pneumonia"],
        "refusal": refuse.fit(described),
        "data": {
            "name": dataset.name,
            "manifest_sha256": dataset.manifest_sha256,
            "attribution": SOURCES.get(origin.source, origin.source),
            **{part: len(samples) for part, samples in parts.items()},
            "patients": {part: len(people) for part, people in patients.items()},
            "patient_numbers_in_test_too": len(patients["test"] & (patients["train"] | patients["validation"])),
        },
        # A starting file lies somewhere on one machine: its name is enough.
        "settings": {**settings.to_dict(), "weights": Path(settings.weights).name},
        "code_version": code_version(),
        "intended_use": card.INTENDED_USE,
    }


def _statistics(sample: Sample) -> np.ndarray:
    picture = data.picture(sample)
    return refuse.statistics(picture.grey, picture.colourful)


def _measure(manifest: dict[str, Any], work: Path, dataset: DataSet, settings: TrainSettings, test: bool) -> None:
    """Fill in the operating point and the metrics, and draw the plots."""
    classifier = Classifier(Bundle(work, manifest))
    logits, labels = score(classifier, dataset.part("validation"))
    probabilities = calibrate.sigmoid(logits, manifest["temperature"])
    threshold = calibrate.threshold(probabilities, labels, settings.target_sensitivity)
    scored = {"validation": (labels, probabilities)}
    if test:
        logits, labels = score(classifier, dataset.part("test"))
        scored["test"] = (labels, calibrate.sigmoid(logits, manifest["temperature"]))
    metrics: dict[str, Any] = {"validation": None, "test": None}
    for part, (truth, found) in scored.items():
        refused = refusals(classifier, dataset.part(part))
        metrics[part] = {**evaluate(truth, found, threshold), "refused": refused}
        plots.report(truth, found, threshold, work / "report", part)
    manifest["metrics"] = metrics
    manifest["operating_point"] = {
        "threshold": threshold,
        "target_sensitivity": settings.target_sensitivity,
        "chosen_on": "validation",
        "sensitivity": metrics["validation"]["sensitivity"],
        "specificity": metrics["validation"]["specificity"],
    }


def _write_card(manifest: Mapping[str, Any], work: Path, made_by: str) -> None:
    drawn = sorted(path.name for path in (work / "report").iterdir())
    (work / "MODEL_CARD.md").write_text(card.text(manifest, made_by, drawn), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Make a bundle of the best network of a finished training run; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m model.export", description=main.__doc__)
    parser.add_argument("run", type=Path, help="directory of a run of model.train")
    parser.add_argument("data", type=Path, help="the data it was trained on")
    parser.add_argument("--out", type=Path, required=True, help="directory of the new bundle")
    parser.add_argument("--name", help="name of the bundle (default: ARCH-DATA)")
    parser.add_argument("--test", action="store_true", help="read the test part too, once, for the card")
    parser.add_argument("--source", default="", help=f"whom to name for the data: {', '.join(SOURCES)} or a text")
    parser.add_argument("--replace", action="store_true", help="put the new bundle in the place of the one in --out")
    given = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        bundle = _from_run(given)
    except (ExportError, bundles.BundleError, data.DataError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{bundle.name} {bundle.version} in {given.out}")
    return 0


def _from_run(given: argparse.Namespace) -> Bundle:
    import keras

    from model.settings import TrainSettings

    settings = TrainSettings.from_dict(json.loads((given.run / "settings.json").read_text())["settings"])
    dataset = data.load(given.data)
    if json.loads((given.run / "settings.json").read_text())["data"]["manifest_sha256"] != dataset.manifest_sha256:
        raise ValueError(f"{given.data} is not the data that {given.run} was trained on")
    return build_bundle(
        keras.models.load_model(given.run / "best.keras", compile=False),
        settings,
        data.split(dataset, settings.validation_share, settings.seed),
        given.out,
        given.name or f"{settings.arch}-{dataset.name}".lower().replace("_", "-"),
        test=given.test,
        history=json.loads((given.run / "history.json").read_text()),
        origin=Origin(source=given.source),
        tell=lambda line: print(line, file=sys.stderr),
        replace=given.replace,
    )


if __name__ == "__main__":
    sys.exit(main())
